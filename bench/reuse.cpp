// Compares reusing deep features (--reuse-features) with its honest rival, fewer steps: how far
// the pictures of each are from those of all steps computed whole, in how much time and for how
// many operations of the denoiser. Each prompt is drawn by all settings in turn, so that whatever
// else the machine does slows all alike.
//   bench_reuse [--model models/mini] [--steps 20] [--prompts 16] [--guidance-low S] [--sampler S]
//               [--reuse "2;3,depth=2"] [--fewer 16,12] [--inception FILE] [--dtype bf16|f32]
// The peak signal-to-noise ratio is the mean over pictures; the feature distance is the mean
// square between Inception's features (eval/features.h, tools/export_inception.py) of both
// pictures, divided by that of pictures of different prompts. Each setting of reuse is followed by
// what fewer steps reach in the same time, interpolated between numbers of steps.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "bench/options.h"
#include "bench/timing.h"
#include "core/error.h"
#include "eval/features.h"
#include "pipeline/draw.h"
#include "pipeline/feature_reuse.h"

namespace {

using namespace pangu;

// In the words that the embedded model was trained on; any model can draw them.
const std::vector<std::string> kPrompts = {
    "a red apple, 3D render",
    "a cat face, flat icon",
    "a sailboat, shaded emoji",
    "a birthday cake, 3D render",
    "a green tree, flat icon",
    "a rocket, 3D render",
    "a yellow flower, shaded emoji",
    "a mountain, flat icon",
    "\u4e00\u53ea\u718a\u732b\uff0c\u4e09\u7ef4\u6e32\u67d3",
    "\u4e00\u6735\u73ab\u7470\uff0c\u6241\u5e73\u56fe\u6807",
    "\u4e00\u8f86\u6c7d\u8f66\uff0c\u4e09\u7ef4\u6e32\u67d3",
    "\u4e00\u5ea7\u623f\u5b50\uff0c\u7acb\u4f53\u8868\u60c5",
    "a guitar, shaded emoji",
    "a snowman, 3D render",
    "\u4e00\u6761\u9c7c\uff0c\u6241\u5e73\u56fe\u6807",
    "\u4e00\u4e2a\u6c49\u5821\uff0c\u4e09\u7ef4\u6e32\u67d3",
};

struct Options {
  std::string model = "models/mini", dtype = "bf16", inception, sampler;
  int steps = 0, prompts = static_cast<int>(kPrompts.size());
  std::optional<double> guidance_low;
  std::string reuse = "on;2,order=0;2,depth=2;2,depth=3;3;3,depth=2;3,depth=3;4,depth=3";
  std::vector<int> fewer;
};

void add_options(CLI::App& app, Options& o) {
  app.add_option("--model", o.model, "A model's folder or file");
  app.add_option("--dtype", o.dtype);
  app.add_option("--steps", o.steps, "Steps of the full picture (the model's)");
  app.add_option("--prompts", o.prompts)->check(CLI::Range(1, static_cast<int>(kPrompts.size())));
  app.add_option("--sampler", o.sampler);
  app.add_option("--guidance-low", o.guidance_low);
  app.add_option("--reuse", o.reuse, "Settings of --reuse-features, parted by semicolons");
  app.add_option("--fewer", o.fewer, "Numbers of steps of the rival (all from a third on)")
      ->delimiter(',');
  app.add_option("--inception", o.inception, "Weights that tools/export_inception.py writes");
}

struct Setting {
  std::string name;
  pipeline::Request request;
  double gflop = 0;                     // of the denoiser in one picture
  std::vector<double> unet_s, whole_s;  // one for each prompt
  std::vector<image::Image> pictures;
  double psnr = 0, features = 0;  // against the full pictures; means
};

// Counts the operations of a model's denoisers while it draws. All experts cost what the noisiest
// one costs.
struct Counter {
  double gflop = 0;
  double whole = 0, shallow = 0;  // of a row

  explicit Counter(pipeline::Model& model) : model_(model) {
    for (pipeline::Expert& expert : model.denoising.experts) {
      expert.predict = [this, inner = expert.predict](const at::Tensor& x, double t_index,
                                                      const pipeline::NetInputs& inputs,
                                                      const Watch& watch) {
        const bool reuses = inputs.deep && inputs.deep->state.defined();
        gflop += static_cast<double>(x.size(0)) * (reuses ? shallow : whole);
        return inner(x, t_index, inputs, watch);
      };
    }
  }
  void start(const pipeline::Request& r) {
    gflop = 0;
    whole = model_.cost.row_gflop(*r.width, *r.height);
    shallow = model_.cost.shallow_row_gflop(*r.width, *r.height,
                                            *pipeline::reuse_of(r, model_.rules).depth);
  }

 private:
  const pipeline::Model& model_;
};

double psnr_of(const image::Image& a, const image::Image& b) {
  double sum = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    const double d = double(a.pixels[i]) - double(b.pixels[i]);
    sum += d * d;
  }
  return 10 * std::log10(255.0 * 255.0 / std::max(sum / double(a.pixels.size()), 1e-6));
}

std::vector<Setting> settings_of(const pipeline::Model& model, const Options& o) {
  pipeline::Request base;
  base.prompt = "-";
  if (o.steps > 0) base.steps = o.steps;
  if (!o.sampler.empty()) base.sampler = o.sampler;
  base.guidance_low = o.guidance_low;
  base = pipeline::resolved(base, model.rules, 1);
  std::vector<Setting> settings;
  const auto add = [&](std::string name, int steps, const std::string& reuse) {
    Setting s;
    s.name = std::move(name);
    s.request = base;
    s.request.steps = steps;
    s.request.reuse_features = reuse;
    pipeline::validate(s.request, model.rules);
    settings.push_back(std::move(s));
  };
  const int full = *base.steps;
  add(std::to_string(full) + " steps", full, "off");
  std::vector<int> fewer = o.fewer;
  if (fewer.empty()) {
    for (int steps = full - 1; steps >= (full + 2) / 3; --steps) fewer.push_back(steps);
  }
  std::sort(fewer.rbegin(), fewer.rend());
  for (const int steps : fewer) add(std::to_string(steps) + " steps", steps, "off");
  std::istringstream words(o.reuse);
  for (std::string word; std::getline(words, word, ';');) add("reuse " + word, full, word);
  return settings;
}

void draw_all(pipeline::Model& model, std::vector<Setting>& settings, int prompts) {
  Counter counter(model);
  for (int p = -1; p < prompts;
       ++p) {  // the first round, in which weights are read, counts nothing
    for (Setting& s : settings) {
      pipeline::Request r = s.request;
      r.prompt = kPrompts[static_cast<size_t>(std::max(p, 0))];
      r.seed = static_cast<uint64_t>(100 + p);
      pipeline::Drawing drawing;
      counter.start(r);
      const double whole = bench::seconds_of([&] { drawing = pipeline::draw(model, r); });
      s.gflop = counter.gflop;
      if (p < 0) continue;
      double unet = 0;
      for (const auto& [phase, seconds] : drawing.timings) {
        for (const auto& expert : model.denoising.experts) {
          if (phase == expert.name) unet += seconds;
        }
      }
      s.unet_s.push_back(unet);
      s.whole_s.push_back(whole);
      s.pictures.push_back(std::move(drawing.pictures.at(0)));
    }
  }
}

double mean_square(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).square().mean().item<double>();
}

void compare(std::vector<Setting>& settings, const std::string& inception) {
  const Setting& full = settings.front();
  const double n = static_cast<double>(full.pictures.size());
  for (Setting& s : settings) {
    for (size_t p = 0; p < full.pictures.size(); ++p) {
      s.psnr += psnr_of(s.pictures[p], full.pictures[p]) / n;
    }
  }
  if (inception.empty()) return;
  const eval::FeatureSource source = eval::inception_features(inception);
  const at::Tensor own = source.features_of(full.pictures, false, {}).mixed6;
  const double unrelated = mean_square(own, own.roll(1, 0));
  for (Setting& s : settings) {
    s.features = mean_square(source.features_of(s.pictures, false, {}).mixed6, own) / unrelated;
  }
}

// What fewer steps reach in `at` of an axis (seconds or operations), linear between numbers of
// steps; a not-a-number outside of them.
double rival_at(const std::vector<Setting>& settings, double at, double Setting::* measure,
                const std::function<double(const Setting&)>& axis) {
  for (size_t i = 1; i + 1 < settings.size(); ++i) {
    const Setting &more = settings[i], &less = settings[i + 1];
    if (less.request.reuse_features != "off") break;
    const double high = axis(more), low = axis(less);
    if (at > high || at < low) continue;
    const double share = high > low ? (at - low) / (high - low) : 0.0;
    return less.*measure + share * (more.*measure - less.*measure);
  }
  return std::nan("");
}

void print(const std::vector<Setting>& settings) {
  const auto seconds = [](const Setting& s) { return bench::median(s.unet_s); };
  const Setting& full = settings.front();
  std::printf("%-26s %9s %9s %7s %9s %7s %7s %9s %7s %9s\n", "", "UNet s", "picture s", "faster",
              "GFLOP", "fewer", "PSNR", "features", "PSNR of", "features");
  std::printf("%-26s %9s %9s %7s %9s %7s %7s %9s %7s %9s\n", "", "", "", "", "", "", "dB", "",
              "rival", "of rival");
  for (const Setting& s : settings) {
    std::printf("%-26s %9.3f %9.3f %7.2f %9.1f %7.2f", s.name.c_str(), seconds(s),
                bench::median(s.whole_s), seconds(full) / seconds(s), s.gflop,
                full.gflop / s.gflop);
    if (&s == &full) {
      std::printf("\n");
      continue;
    }
    std::printf(" %7.2f %9.4f", s.psnr, s.features);
    if (s.request.reuse_features != "off") {
      std::printf(" %7.2f %9.4f", rival_at(settings, seconds(s), &Setting::psnr, seconds),
                  rival_at(settings, seconds(s), &Setting::features, seconds));
    }
    std::printf("\n");
  }
}

void run(const Options& o) {
  pipeline::LoadOptions load;
  load.dtype = o.dtype;
  pipeline::Model model = pipeline::load_model(o.model, load);
  std::vector<Setting> settings = settings_of(model, o);
  std::printf("%s, %s, %d threads, %d prompts, %dx%d, %s, guidance %g above sigma %g\n",
              model.name.c_str(), model.cost.dtype.c_str(), at::get_num_threads(), o.prompts,
              *settings.front().request.width, *settings.front().request.height,
              settings.front().request.sampler->c_str(), *settings.front().request.guidance,
              *settings.front().request.guidance_low);
  draw_all(model, settings, o.prompts);
  compare(settings, o.inception);
  print(settings);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app;
  add_options(app, options);
  return pangu::bench::run_with_flags(app, argc, argv, [&] { run(options); });
}
