// Trains a UNet of any size from random weights by the loop of `pangu-draw train`, on random
// latents and states: the time of a step and the most memory, checkpoint included. Says nothing of
// learning.
//   bench_train_step UNET.json OUT [--side 64] [--tokens 77] [--steps 4] [--threads 2]
//                    [--set KEY=VALUE]... [--most-gib 18]
// UNET.json is a unet/config.json, --side the latents' in latent pixels, --set a key of the
// training; unless it is set, the batch is 1 and blocks are computed twice. OUT is left with a
// checkpoint.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/DefaultDtype.h>
#include <torch/nn.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/options.h"
#include "core/error.h"
#include "nn/unet/unet.h"
#include "train/accounting.h"
#include "train/trainer.h"

namespace {

using pangu::train::TrainConfig;

struct Options {
  std::string network, out;
  int64_t side = 64, tokens = 77, steps = 4;
  int threads = 2;
  double most_gib = 0;
  std::vector<std::string> set;
};

void add_options(CLI::App& app, Options& o) {
  app.add_option("network", o.network, "A unet/config.json")->required();
  app.add_option("out", o.out, "A folder")->required();
  app.add_option("--side", o.side);
  app.add_option("--tokens", o.tokens);
  app.add_option("--steps", o.steps);
  app.add_option("--threads", o.threads);
  app.add_option("--most-gib", o.most_gib, "Fail above this");
  app.add_option("--set", o.set, "KEY=VALUE of the training");
}

TrainConfig config_of(const Options& o) {
  TrainConfig c;
  c.output_dir = o.out;
  c.train_data_dir = {o.out};  // of the checks alone: nothing is read
  c.network_config = o.network;
  c.model_dir = o.out;
  c.train_batch_size = c.replicas = c.log_every_n_steps = 1;
  c.max_train_steps = o.steps;
  c.lr_warmup_steps = 0;
  c.learning_rate = 1e-5;
  c.use_ema = false;
  c.gradient_checkpointing = true;
  c.sample_every_n_steps = 0;
  c.save_every_minutes = 600;
  return TrainConfig::with(c, o.set);
}

// The loss of an eps prediction, on noise alone.
pangu::train::LossFunction random_loss(pangu::nn::UNet2DConditionModel& unet, const Options& o,
                                       const TrainConfig& config) {
  const pangu::nn::UNetConfig& shape = unet.config();
  const auto type = config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
  const at::Tensor context =
      at::randn({1, o.tokens, shape.cross_attention_dim.front()}, at::kFloat).to(type);
  pangu::nn::UNetExtras extras;
  extras.recomputes = config.gradient_checkpointing;
  extras.class_labels = unet.class_labels_of(context, {});
  if (shape.addition_embed_type) {
    constexpr int64_t kPooled = 1280;  // OpenCLIP's bigG; the rest are size numbers
    const int64_t numbers =
        (*shape.projection_class_embeddings_input_dim - kPooled) / *shape.addition_time_embed_dim;
    extras.text_embeds = at::randn({1, kPooled}, at::kFloat);
    extras.time_ids = at::zeros({1, numbers}, at::kFloat);
  }
  return [&unet, context, extras, side = o.side, channels = shape.in_channels,
          type](const pangu::train::Slice& slice) {
    const at::Tensor noise = at::randn({slice.count, channels, side, side}, at::kFloat);
    const at::Tensor t = at::rand({slice.count}, at::kFloat) * 1000;
    pangu::nn::UNetExtras here = extras;
    for (at::Tensor* row : {&here.class_labels, &here.text_embeds, &here.time_ids}) {
      if (row->defined()) *row = row->expand({slice.count, -1});
    }
    const at::Tensor predicted =
        unet.forward(noise.to(type), t, context.expand({slice.count, -1, -1}), here);
    return (predicted.to(at::kFloat) - noise).square().mean() * double(slice.count);
  };
}

void run(const Options& o) {
  std::ifstream file(o.network);
  if (!file) throw pangu::bad_input(o.network, "a readable file");
  const auto shape = pangu::nn::unet_config_from_json(nlohmann::json::parse(file));
  const TrainConfig config = config_of(o);
  at::set_num_threads(o.threads);
  pangu::train::restart_peak_memory();
  // Weights are made in the type that they are trained in.
  if (config.mixed_precision == "bf16") {
    c10::set_default_dtype(c10::scalarTypeToTypeMeta(at::kBFloat16));
  }
  const auto unet = std::make_shared<pangu::nn::UNet2DConditionModel>(shape);
  c10::set_default_dtype(c10::scalarTypeToTypeMeta(at::kFloat));
  pangu::nn::weights_to_channels_last(*unet);
  int64_t parameters = 0;
  for (const at::Tensor& p : unet->parameters()) parameters += p.numel();

  std::vector<double> at_step;
  double optimizer_share = 0, gib_of_steps = 0;
  pangu::train::TrainHooks hooks;
  if (!config.use_ema && config.mixed_precision == "bf16") hooks.weights_type = at::kBFloat16;
  hooks.on_log = [&](const pangu::train::StepReport& r) {
    at_step.push_back(r.seconds);
    optimizer_share = r.optimizer_share;
    gib_of_steps = double(pangu::train::peak_memory_bytes()) / 0x1p30;
    std::fprintf(stderr, "step %lld: %.1f s, loss %.4f, optimizer %.0f %%, at most %.2f GiB\n",
                 static_cast<long long>(r.step), r.seconds, r.loss, 100 * r.optimizer_share,
                 gib_of_steps);
  };
  pangu::train::train(config, {unet}, random_loss(*unet, o, config), {}, hooks,
                      /*resume=*/false);
  std::vector<double> seconds;
  for (size_t i = 1; i < at_step.size(); ++i) seconds.push_back(at_step[i] - at_step[i - 1]);
  std::sort(seconds.begin(), seconds.end());
  const double peak = double(pangu::train::peak_memory_bytes()) / 0x1p30;
  std::printf(
      "%.3f B parameters, %lldx%lld latents: %.1f s a step (optimizer %.0f %%), at most "
      "%.2f GiB in steps, %.2f GiB with the checkpoint\n",
      double(parameters) * 1e-9, static_cast<long long>(o.side), static_cast<long long>(o.side),
      seconds.empty() ? at_step.at(0) : seconds[seconds.size() / 2], 100 * optimizer_share,
      gib_of_steps, peak);
  if (o.most_gib > 0 && peak > o.most_gib) {
    throw pangu::Error(pangu::ErrorCode::kInternal,
                       "memory: expected at most " + std::to_string(o.most_gib) + " GiB");
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app;
  add_options(app, options);
  return pangu::bench::run_with_flags(app, argc, argv, [&] { run(options); });
}
