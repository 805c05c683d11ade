// What it saves to draw the pictures of one request in batches, and by how much a picture of a
// batch differs from its single: seconds a picture, on the clock and of processors (which other
// work on the machine changes less), and levels of 255 on average and at most.
//   bench_batch MODEL [--count 8] [--steps 0: the model's] [--size 0: the model's] [--dtype f32]
//               [--guidance 0: the model's] [--threads 1] [--runs 1] [--tokenizers
//               models/tokenizers]
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "bench/options.h"
#include "core/error.h"
#include "pipeline/draw.h"

namespace {

struct Options {
  std::string model, dtype = "f32", tokenizers = "models/tokenizers";
  int count = 8, steps = 0, size = 0, threads = 1, runs = 1;
  double guidance = 0;
};

void add_options(CLI::App& app, Options& o) {
  app.add_option("model", o.model);
  app.add_option("--count", o.count);
  app.add_option("--steps", o.steps);
  app.add_option("--size", o.size);
  app.add_option("--dtype", o.dtype);
  app.add_option("--guidance", o.guidance);
  app.add_option("--threads", o.threads);
  app.add_option("--runs", o.runs);
  app.add_option("--tokenizers", o.tokenizers);
}

struct Measured {
  double seconds_a_picture = 0, processor_seconds = 0;  // the least of the runs
  pangu::pipeline::Drawing drawing;
};

Measured measure(pangu::pipeline::Model& model, const pangu::pipeline::Request& request,
                 int at_once, int runs) {
  const int64_t pixels = int64_t{*request.width / model.latents.downscale} *
                         (*request.height / model.latents.downscale);
  model.denoising.latent_pixels_a_forward = 2 * pixels * at_once;  // two rows an image
  Measured m;
  for (int run = 0; run < runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t spent = std::clock();
    m.drawing = pangu::pipeline::draw(model, request);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
        request.count;
    const double processor =
        static_cast<double>(std::clock() - spent) / CLOCKS_PER_SEC / request.count;
    m.processor_seconds = run == 0 ? processor : std::min(m.processor_seconds, processor);
    m.seconds_a_picture = run == 0 ? seconds : std::min(m.seconds_a_picture, seconds);
  }
  return m;
}

void report(int at_once, const Measured& single, const Measured& batched) {
  double sum = 0, most = 0, worst = 0;
  size_t bytes = 0;
  for (size_t i = 0; i < single.drawing.pictures.size(); ++i) {
    const auto& a = single.drawing.pictures[i].pixels;
    const auto& b = batched.drawing.pictures[i].pixels;
    double own = 0;
    for (size_t k = 0; k < a.size(); ++k) {
      const double difference = std::abs(double(a[k]) - double(b[k]));
      own += difference;
      most = std::max(most, difference);
    }
    worst = std::max(worst, own / static_cast<double>(a.size()));
    sum += own;
    bytes += a.size();
  }
  std::printf(
      "%2d at once: %7.3f s a picture, %7.3f s of processors; differs by %.4f of 255, worst "
      "picture "
      "%.4f, byte %g\n",
      at_once, batched.seconds_a_picture, batched.processor_seconds,
      sum / static_cast<double>(bytes), worst, most);
}

int bench(const Options& o) {
  at::set_num_threads(o.threads);
  pangu::pipeline::LoadOptions load;
  load.dtype = o.dtype;
  load.tokenizers = o.tokenizers;
  pangu::pipeline::Model model = pangu::pipeline::load_model(o.model, load);
  pangu::pipeline::Request asked;
  asked.prompt = "a red fox in the snow";
  asked.count = o.count;
  if (o.steps > 0) asked.steps = o.steps;
  if (o.size > 0) asked.width = asked.height = o.size;
  if (o.guidance > 0) asked.guidance = o.guidance;
  const auto request = pangu::pipeline::resolved(asked, model.rules, 3);
  auto warm = request;
  warm.count = 1;
  pangu::pipeline::draw(model, warm);
  std::printf("%s, %s, %dx%d, %d steps, %d threads\n", model.name.c_str(), o.dtype.c_str(),
              *request.width, *request.height, *request.steps, o.threads);
  const Measured single = measure(model, request, 1, o.runs);
  for (int at_once = 1; at_once <= o.count; at_once *= 2) {
    report(at_once, single, at_once == 1 ? single : measure(model, request, at_once, o.runs));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app;
  add_options(app, options);
  if (const auto code = pangu::bench::stop_code(app, argc, argv)) return *code;
  try {
    return bench(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_batch: %s\n", error.what());
    return 2;
  }
}
