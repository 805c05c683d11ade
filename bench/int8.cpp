// What int8 costs and saves: the same pictures drawn exactly and in int8, by turns. It prints the
// seconds of the denoisers' steps and their ratio, and how far the pictures are apart: PSNR, and
// the length of the difference of Inception's features by their length, beside that of pictures of
// another seed, which says how much a difference is.
//   bench_int8 [MODEL, default: models/mini] [--pictures 4] [--steps 20] [--size 0: the model's]
//              [--dtype bf16] [--threads 2] [--prompt TEXT]... [--inception FILE]
//              [--tokenizers models/tokenizers]
// FILE is what tools/export_inception.py writes; without it there are no features. Weights that
// `pangu-draw quantize MODEL` has left beside the model are used.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/options.h"
#include "bench/timing.h"
#include "core/error.h"
#include "eval/features.h"
#include "pipeline/draw.h"

namespace {

using pangu::bench::median;

struct Options {
  std::string model = "models/mini", dtype = "bf16", tokenizers = "models/tokenizers", inception;
  std::vector<std::string> prompts = {"a red apple, 3D render", "a castle, flat icon",
                                      "a fox in the snow", "a yellow car, 3D render"};
  int pictures = 4, steps = 20, size = 0, threads = 2;
};

void add_options(CLI::App& app, Options& o) {
  app.add_option("model", o.model);
  app.add_option("--pictures", o.pictures)->check(CLI::PositiveNumber);
  app.add_option("--steps", o.steps);
  app.add_option("--size", o.size);
  app.add_option("--dtype", o.dtype);
  app.add_option("--threads", o.threads);
  app.add_option("--prompt", o.prompts)->allow_extra_args(false);
  app.add_option("--inception", o.inception);
  app.add_option("--tokenizers", o.tokenizers);
}

struct Drawn {
  std::vector<pangu::image::Image> pictures;
  std::vector<double> seconds;  // of a step
};

// Seconds of a drawing's denoisers.
double seconds_of_steps(const pangu::pipeline::Model& model,
                        const pangu::pipeline::Drawing& drawing) {
  double sum = 0;
  for (const auto& [name, seconds] : drawing.timings) {
    for (const auto& expert : model.denoising.experts) sum += name == expert.name ? seconds : 0;
  }
  return sum;
}

void draw_one(const pangu::pipeline::Model& model, const Options& o, int picture, uint64_t seed,
              Drawn& drawn) {
  pangu::pipeline::Request request;
  request.prompt = o.prompts[static_cast<size_t>(picture) % o.prompts.size()];
  request.steps = o.steps;
  request.seed = seed;
  if (o.size > 0) request.width = request.height = o.size;
  request = pangu::pipeline::resolved(request, model.rules, seed);
  pangu::pipeline::Drawing drawing = pangu::pipeline::draw(model, request);
  drawn.seconds.push_back(seconds_of_steps(model, drawing) / o.steps);
  drawn.pictures.push_back(std::move(drawing.pictures.front()));
}

// Peak signal to noise in dB; infinite for equal pictures.
double psnr_of(const pangu::image::Image& a, const pangu::image::Image& b) {
  double squares = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    squares += std::pow(double(a.pixels[i]) - double(b.pixels[i]), 2);
  }
  return 10 * std::log10(255.0 * 255.0 * double(a.pixels.size()) / squares);
}

void report_distance(const char* what, const Drawn& exact, const Drawn& other, const Options& o) {
  std::vector<double> psnr;
  for (size_t i = 0; i < exact.pictures.size(); ++i) {
    psnr.push_back(psnr_of(exact.pictures[i], other.pictures[i]));
  }
  std::printf("%-28s PSNR %5.1f dB in the middle, %5.1f at least", what, median(psnr),
              *std::min_element(psnr.begin(), psnr.end()));
  if (!o.inception.empty()) {
    const auto source = pangu::eval::inception_features(o.inception);
    const auto features = [&](const Drawn& drawn) {
      return source.features_of(drawn.pictures, false, {}).mixed6;
    };
    const at::Tensor own = features(exact), found = features(other);
    const at::Tensor apart = (found - own).norm(2, 1) / own.norm(2, 1);
    std::printf(", features %.3f apart on average", apart.mean().item<double>());
  }
  std::printf("\n");
}

void run(const Options& o) {
  const at::NoGradGuard no_grad;
  at::set_num_threads(o.threads);
  pangu::pipeline::LoadOptions load;
  load.dtype = o.dtype;
  load.tokenizers = o.tokenizers;
  const auto exact = pangu::pipeline::load_model(o.model, load);
  load.precision = pangu::pipeline::kInt8Precision;
  const auto int8 = pangu::pipeline::load_model(o.model, load);
  Drawn warm, own, bytes, others;
  draw_one(exact, o, 0, 1, warm);  // both read their weights
  draw_one(int8, o, 0, 1, warm);
  for (int i = 0; i < o.pictures; ++i) {
    const auto seed = static_cast<uint64_t>(i + 1);
    draw_one(exact, o, i, seed, own);
    draw_one(int8, o, i, seed, bytes);
    draw_one(exact, o, i, seed + 1000, others);
  }
  std::vector<double> ratios;
  for (size_t i = 0; i < own.seconds.size(); ++i) {
    ratios.push_back(own.seconds[i] / bytes.seconds[i]);
  }
  std::printf(
      "%s, %d steps, %d threads, medians of %d pictures: exact (%s) %.3f s a step, int8 "
      "%.3f s, ratio of pairs %.2f\n",
      o.model.c_str(), o.steps, o.threads, o.pictures, o.dtype.c_str(), median(own.seconds),
      median(bytes.seconds), median(ratios));
  report_distance("int8 and exact:", own, bytes, o);
  report_distance("another seed and exact:", own, others, o);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app;
  add_options(app, options);
  return pangu::bench::run_with_flags(app, argc, argv, [&] { run(options); });
}
