// Measures what it saves to prepare a UNet's conditions once a picture: the time of one step with
// the conditions and with prepared conditions, by turns, and the memory that prepared conditions
// take.
//   bench_unet_step [UNET.json, default: Stable Diffusion 1.5's] [--size 64] [--batch 2]
//                   [--tokens 77] [--dtype f32|bf16] [--threads 1] [--runs 5] [--packed]
//                   [--precision exact|int8]
// It also prints the greatest resident set while it steps, weights and prepared conditions
// included.
// --packed packs the weights, as drawing does; without it one sees what that saves. --precision
// int8 packs those of most layers in int8.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/options.h"
#include "bench/timing.h"
#include "core/error.h"
#include "nn/packed_weight.h"
#include "nn/unet/unet.h"

namespace {

struct Options {
  std::string config;
  int64_t size = 64, batch = 2, tokens = 77, runs = 5;
  int threads = 1;
  bool bf16 = false, packed = false, int8 = false;
};

void add_options(CLI::App& app, Options& o) {
  app.add_option("config", o.config);
  app.add_option("--size", o.size);
  app.add_option("--batch", o.batch);
  app.add_option("--tokens", o.tokens);
  app.add_option("--runs", o.runs);
  app.add_option("--threads", o.threads);
  app.add_flag("--packed", o.packed);
  app.add_option_function<std::string>(
      "--precision", [&o](const std::string& precision) { o.int8 = precision == "int8"; });
  app.add_option_function<std::string>(
      "--dtype", [&o](const std::string& dtype) { o.bf16 = dtype == "bf16"; });
}

// Gives freed memory back, and has the operating system begin anew with the greatest resident set.
void forget_peak() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
}

double peak_gib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::atof(line.c_str() + 6) / (1 << 20);
  }
  return 0;
}

pangu::nn::UNetConfig config_of(const Options& o) {
  if (o.config.empty()) {
    pangu::nn::UNetConfig config;
    config.cross_attention_dim = {768};
    return config;
  }
  std::ifstream file(o.config);
  if (!file) throw pangu::bad_input(o.config, "a readable file");
  return pangu::nn::unet_config_from_json(nlohmann::json::parse(file));
}

void run(const Options& o) {
  const at::NoGradGuard frozen;
  at::set_num_threads(o.threads);
  const pangu::nn::UNetConfig config = config_of(o);
  const auto dtype = o.bf16 ? at::kBFloat16 : at::kFloat;
  pangu::nn::UNet2DConditionModel unet(config);
  unet.to(dtype);
  pangu::nn::weights_to_channels_last(unet);
  if (o.packed || o.int8) {
    const auto plan = pangu::nn::default_int8_plan(unet);
    pangu::nn::pack_weights(unet, {.int8 = o.int8 ? &plan : nullptr});
  }

  const at::Tensor x = at::randn({o.batch, config.in_channels, o.size, o.size});
  const at::Tensor t = at::full({1}, 500.0);
  const at::Tensor context = at::randn({o.batch, o.tokens, config.cross_attention_dim.front()});
  pangu::nn::UNetExtras extras;
  extras.class_labels = unet.class_labels_of(context, {});
  if (config.addition_embed_type) {
    extras.text_embeds = at::randn(
        {o.batch, *config.projection_class_embeddings_input_dim - *config.addition_time_embed_dim});
    extras.time_ids = at::zeros({o.batch, 1});
  }
  const auto prepared = unet.prepare(context, extras);
  int64_t bytes = 0;
  for (const auto& one : prepared.keys_values) {
    bytes += static_cast<int64_t>(one.keys.nbytes() + one.values.nbytes());
  }
  const bool equal = unet.forward(x, t, prepared).equal(unet.forward(x, t, context, extras));

  forget_peak();
  double given = 1e9, ready = 1e9;
  for (int64_t i = 0; i < o.runs; ++i) {
    given = std::min(given, pangu::bench::seconds_of([&] { unet.forward(x, t, context, extras); }));
    ready = std::min(ready, pangu::bench::seconds_of([&] { unet.forward(x, t, prepared); }));
  }
  std::printf(
      "%s %s %lldx%lld batch %lld tokens %lld threads %d: %.2f ms a step, prepared %.2f ms "
      "(%.1f %% less), %s bits, %.2f MB kept, %.2f GiB resident\n",
      o.config.empty() ? "Stable Diffusion 1.5" : o.config.c_str(),
      o.int8   ? "int8"
      : o.bf16 ? "bf16"
               : "f32",
      static_cast<long long>(o.size), static_cast<long long>(o.size),
      static_cast<long long>(o.batch), static_cast<long long>(o.tokens), o.threads, given * 1e3,
      ready * 1e3, 100 * (1 - ready / given), equal ? "equal" : "other",
      static_cast<double>(bytes) * 1e-6, peak_gib());
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app;
  add_options(app, options);
  return pangu::bench::run_with_flags(app, argc, argv, [&] { run(options); });
}
