// Measures how many samples a second a UNet trains at: forward and backward of one configuration,
// without data or optimiser. It also prints the rate by processor time, which other programs on the
// machine disturb less than the wall clock.
//   bench_unet_train UNET.json [--size 16] [--batch 64] [--tokens 32] [--dtype bf16|f32]
//                    [--threads 2] [--seconds 8] [--profile]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/profiler_legacy.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/options.h"
#include "core/error.h"
#include "nn/unet/unet.h"

namespace {

struct Options {
  std::string config;
  int64_t size = 16, batch = 64, tokens = 32;
  int threads = 2;
  double seconds = 8;
  bool bf16 = true;
  bool profile = false;
};

void add_options(CLI::App& app, Options& o) {
  app.add_option("config", o.config, "A unet/config.json")->required();
  app.add_option("--size", o.size);
  app.add_option("--batch", o.batch);
  app.add_option("--tokens", o.tokens);
  app.add_option("--threads", o.threads);
  app.add_option("--seconds", o.seconds);
  app.add_option_function<std::string>(
      "--dtype", [&o](const std::string& dtype) { o.bf16 = dtype == "bf16"; });
  app.add_flag("--profile", o.profile);
}

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void run(const Options& o) {
  std::ifstream file(o.config);
  if (!file) throw pangu::bad_input(o.config, "a readable file");
  const auto config = pangu::nn::unet_config_from_json(nlohmann::json::parse(file));
  at::set_num_threads(o.threads);
  const auto dtype = o.bf16 ? at::kBFloat16 : at::kFloat;

  pangu::nn::UNet2DConditionModel unet(config);
  unet.to(dtype);
  pangu::nn::weights_to_channels_last(unet);
  int64_t parameters = 0;
  for (const at::Tensor& p : unet.parameters()) parameters += p.numel();

  const at::Tensor x = at::randn({o.batch, config.in_channels, o.size, o.size}).to(dtype);
  const at::Tensor t = at::rand({o.batch}) * 1000;
  const at::Tensor context =
      at::randn({o.batch, o.tokens, config.cross_attention_dim.front()}).to(dtype);
  pangu::nn::UNetExtras extras;
  extras.class_labels = unet.class_labels_of(context, {});
  if (config.addition_embed_type) {
    const int64_t ids = 1;
    extras.text_embeds = at::randn({o.batch, *config.projection_class_embeddings_input_dim -
                                                 ids * *config.addition_time_embed_dim});
    extras.time_ids = at::zeros({o.batch, ids});
  }
  extras.context_mask = at::ones({o.batch, o.tokens}, at::kBool);
  extras.context_mask.narrow(1, o.tokens / 2, o.tokens - o.tokens / 2).zero_();

  const auto step = [&] {
    unet.zero_grad();
    unet.forward(x, t, context, extras).to(at::kFloat).square().mean().backward();
  };
  step();
  step();
  if (o.profile) {
    using namespace torch::autograd::profiler;
    RecordProfile guard("unet_train_trace.json");
    step();
    return;
  }
  const double wall0 = wall_seconds();
  const double cpu0 = processor_seconds();
  int64_t steps = 0;
  while (wall_seconds() - wall0 < o.seconds) {
    step();
    ++steps;
  }
  const double samples = static_cast<double>(steps * o.batch);
  const double wall = wall_seconds() - wall0;
  const double cpu = processor_seconds() - cpu0;
  std::printf(
      "%s %s %lldx%lld batch %lld tokens %lld threads %d: %.2f M parameters, %.1f samples/s, "
      "%.1f samples/s by processor time\n",
      o.config.c_str(), o.bf16 ? "bf16" : "f32", static_cast<long long>(o.size),
      static_cast<long long>(o.size), static_cast<long long>(o.batch),
      static_cast<long long>(o.tokens), o.threads, static_cast<double>(parameters) * 1e-6,
      samples / wall, samples / cpu * o.threads);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app;
  add_options(app, options);
  return pangu::bench::run_with_flags(app, argc, argv, [&] { run(options); });
}
