#include "app/train/train_frozen.h"

#include <torch/nn.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "app/train/frozen_data.h"
#include "app/train/frozen_samples.h"
#include "app/train/lora_validation.h"
#include "core/error.h"
#include "core/message.h"
#include "pipeline/families/networks.h"
#include "train/accounting.h"

namespace pangu::app {
namespace {

pipeline::FrozenPlace training_place(const train::TrainConfig& config) {
  return {.device = config.device,
          .dtype = config.mixed_precision == "bf16" ? "bf16" : "f32",
          .recomputes = config.gradient_checkpointing};
}

// In the precision and on the device of the training, as train::train does it.
void prepare_module(const train::TrainConfig& config, torch::nn::Module& module) {
  module.to(at::Device(config.device),
            config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat);
}

// The first loss on one picture, in f32 on the CPU: all parts fit each other.
void try_first_loss(const TrainingRun& run, const FrozenKind& kind,
                    const diffusion::Schedule& schedule, const diffusion::LossConfig& loss_config,
                    const std::shared_ptr<train::LatentSet>& set) {
  train::TrainConfig alone = run.config;
  alone.train_batch_size = 1;
  alone.device = "cpu";
  alone.mixed_precision = "no";
  const at::NoGradGuard no_grad;
  const Learners learners = kind.learners({}, 1);
  const double loss = train::denoiser_loss(alone, schedule, loss_config, learners.calls,
                                           set)({.replica = 0, .batch = 0, .first = 0, .count = 1})
                          .item<double>();
  if (!std::isfinite(loss)) throw bad_input("weights", "a finite loss", number_text(loss));
}

void say_cost(const TrainingRun& run, const train::TrainResult& result) {
  if (!run.say) return;
  char text[96];
  std::snprintf(text, sizeof text, "%.2f s a step, at most %.2f GiB of memory",
                result.seconds / double(std::max<int64_t>(1, result.step)),
                double(train::peak_memory_bytes()) / 0x1p30);
  run.say(text + std::string("; ") + data_wait_text(result));
}

}  // namespace

void seed_weights(const train::TrainConfig& config) {
  torch::manual_seed(static_cast<uint64_t>(config.seed));
}

TrainingOutcome train_frozen(const TrainingRun& run, const FrozenKind& kind) {
  const train::TrainConfig& config = run.config;
  train::restart_peak_memory();
  const diffusion::Schedule& schedule = run.frozen->model.denoising.schedule;
  const diffusion::LossConfig loss_config = train::loss_config_of(config);
  loss_config.validate(schedule);
  pipeline::LoadOptions place;
  place.device = config.device;
  pipeline::placement_of(place);  // fails here where there is no such device, before much is done

  const TrainingData data = training_data(config, !run.dry_run);
  const FrozenData what = frozen_data(run, data);
  if (run.dry_run) {
    try_first_loss(run, kind, schedule, loss_config, what.set);
    return {};
  }
  const Learners learners = kind.learners(training_place(config), train::replica_count(config));
  begin_run(run, *learners.modules.front());
  const train::RunInputs inputs{
      data.index_hash, pipeline::fingerprint_of(run.frozen->source->need(run.expert.component)),
      what.conditioning};
  const auto validate = [&](int64_t step) {
    if (!what.validation || !is_first_process(run)) return;
    const double loss =
        validate_at(step, config, schedule, loss_config, learners.calls.front(), *what.validation);
    if (run.say)
      run.say("validation loss at step " + std::to_string(step) + ": " + number_text(loss));
  };
  train::TrainHooks hooks = run.hooks;
  hooks.weights_type = kind.weights_type;
  hooks.rate_factor = kind.rate_factor;
  hooks.on_sample = [&](int64_t step, const tensors::TensorMap& weights) {
    validate(step);
    if (!config.sample_prompts.empty()) {
      write_frozen_samples(run, step, learners.calls.front(), learners.text);
    }
    if (step < config.max_train_steps && kind.write_so_far) kind.write_so_far(weights, step, data);
  };
  std::filesystem::create_directories(config.output_dir);
  if (!run.resume || train::steps_done(config) == 0) {
    // The network as prepared for training is that of a run that has not begun.
    if (is_first_process(run)) std::filesystem::remove(config.output_dir + "/validation.jsonl");
    prepare_module(config, *learners.modules.front());
    validate(0);
  }
  const auto wait = std::make_shared<train::DataWait>();
  hooks.data_wait = wait;
  const train::TrainResult result = train::train(
      config, learners.modules,
      train::denoiser_loss(config, schedule, loss_config, learners.calls, what.set, wait), inputs,
      hooks, run.resume);
  if (!is_first_process(run)) return {result.step, result.finished, ""};
  kind.write(result.weights, result.step, data);
  if (config.sample_every_n_steps == 0) validate(result.step);
  say_cost(run, result);
  return {result.step, result.finished, config.model_output};
}

}  // namespace pangu::app
