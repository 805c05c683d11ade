#include "app/study/strategy_run.h"

#include <torch/nn.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/train/latent_cache.h"
#include "app/train/run_accounting.h"
#include "app/train/training.h"
#include "core/error.h"
#include "core/watch.h"
#include "io/json_file.h"
#include "nn/weights.h"
#include "pipeline/trained_model.h"
#include "tensors/safetensors.h"
#include "train/checkpoint.h"
#include "train/denoiser_loss.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLossEvery = 50;  // of t, the same for every division into experts
constexpr int64_t kHeldOutPictures = 64;
constexpr int64_t kScheduleSteps = 1000;
constexpr uint64_t kHeldOutSeed = 0;

std::string stage_folder(const StrategyRun& run, size_t stage) {
  return run.folder + "/" + run.strategy.stages[stage].name;
}

std::string model_of_stage(const StrategyRun& run, size_t stage) {
  return stage_folder(run, stage) + "/model";
}

// The last stage of each chain that has begun, from most noise to least.
std::vector<size_t> drawing_stages(const train::Strategy& strategy,
                                   const std::vector<int64_t>& steps) {
  std::vector<size_t> stages;
  for (const size_t end : strategy.drawn()) {
    size_t last = strategy.chain_of(end).front();
    for (const size_t stage : strategy.chain_of(end)) {
      if (steps[stage] > 0) last = stage;
    }
    stages.push_back(last);
  }
  return stages;
}

int64_t trained_steps(const StrategyRun& run, size_t stage) {
  const std::string file = accounting_file(stage_folder(run, stage));
  if (!fs::exists(file) || !fs::exists(model_of_stage(run, stage) + "/model_index.json")) return 0;
  return train::accounting_from(io::read_json_file(file)).steps;
}

void train_stage(const StrategyRun& run, size_t stage, int64_t steps, const std::string& other) {
  if (trained_steps(run, stage) == steps) return;
  TrainingRun one;
  one.config = run.strategy.stages[stage].config;
  one.config.output_dir = stage_folder(run, stage);
  one.config.model_output.clear();
  one.config.max_train_steps = steps;
  one.config.other_expert = other;
  const std::string& from = run.strategy.stages[stage].begin_from;
  if (!from.empty()) {
    one.config.initial_weights = train::checkpoint_in(run.folder + "/" + from).value_or("");
  }
  one.quiet = true;
  one.wants_stop = run.wants_stop;
  one.hooks.stop = run.wants_stop;
  const TrainingOutcome outcome = train_denoiser(one);
  if (!outcome.is_finished)
    throw Stopped("training: stopped at step " + std::to_string(outcome.step));
}

// Those of 0, kLossEvery, ... and the last t that an expert serves.
std::vector<int64_t> loss_times(const pipeline::TrainedExpert& expert) {
  std::vector<int64_t> times;
  const auto add = [&](int64_t t) {
    if (t >= expert.min_timestep && t < expert.max_timestep) times.push_back(t);
  };
  for (int64_t t = 0; t < kScheduleSteps; t += kLossEvery) add(t);
  add(kScheduleSteps - 1);
  return times;
}

// Some of the pictures, evenly over all of them, since a dataset is in order of styles.
TrainingData spread_over(const TrainingData& all, int64_t count) {
  TrainingData some;
  some.pictures_in_all = all.pictures_in_all;
  some.index_hash = all.index_hash;
  const int64_t size = static_cast<int64_t>(all.items.size());
  for (int64_t i = 0; i < std::min(count, size); ++i) {
    const auto at = static_cast<size_t>(i * size / std::min(count, size));
    some.items.push_back(all.items[at]);
    some.contents.push_back(all.contents[at]);
  }
  return some;
}

}  // namespace

PointReached train_to(const StrategyRun& run, const std::vector<int64_t>& steps) {
  PointReached reached;
  for (size_t stage = 0; stage < steps.size(); ++stage) {
    // The networks that draw are trained last, so that the model has the newest of both.
    const std::vector<size_t> drawing = drawing_stages(run.strategy, steps);
    if (steps[stage] == 0 || std::count(drawing.begin(), drawing.end(), stage)) continue;
    train_stage(run, stage, steps[stage], "");
  }
  std::string other;
  for (const size_t stage : drawing_stages(run.strategy, steps)) {
    train_stage(run, stage, steps[stage], other);
    other = reached.model = model_of_stage(run, stage);
  }
  for (size_t stage = 0; stage < steps.size(); ++stage) {
    if (steps[stage] == 0) continue;
    reached.stages.push_back({run.strategy.stages[stage].name,
                              io::read_json_file(accounting_file(stage_folder(run, stage)))});
  }
  return reached;
}

std::vector<study::LossAtSigma> held_out_losses(const train::TrainConfig& stage,
                                                const std::string& model) {
  train::TrainConfig config = stage;
  config.min_image_size = 0;
  config.native_sizes.clear();
  config.native_shares.clear();
  config.latent_crop = 0;
  config.bucket_no_upscale = false;
  config.resolution = train::TrainConfig().resolution;
  config.scene_count = 0;
  config.seed = kHeldOutSeed;
  const pipeline::TrainingSpec& spec = pipeline::training_from_nothing(/*reads_pictures=*/false);
  std::shared_ptr<train::LatentSet> set;
  std::vector<study::LossAtSigma> losses;
  std::vector<pipeline::TrainedExpert> experts =
      pipeline::trained_experts(model, kScheduleSteps, "model");
  std::reverse(experts.begin(), experts.end());  // t increases
  for (const pipeline::TrainedExpert& expert : experts) {
    const std::string folder = model + "/" + expert.component;
    const pipeline::NetworkConfigs networks = {
        {"unet", io::read_json_file(folder + "/config.json")}};
    if (!set) {
      const CacheSources sources = open_cache_sources(
          config, spec, networks,
          spread_over(training_data(config, /*keeps_hashes=*/true, "heldout_pair"),
                      kHeldOutPictures));
      set = latent_set_for(config, sources, /*quiet=*/true, {});
    }
    const pipeline::TrainableDenoiser denoiser = spec.denoiser(networks);
    nn::load_into(*denoiser.module,
                  tensors::load_safetensors(folder + "/diffusion_pytorch_model.safetensors"));
    denoiser.module->eval();
    for (const train::LossAtT& one :
         train::loss_at(config, train::schedule_of(config), train::loss_config_of(config),
                        denoiser.predict, *set, loss_times(expert), kHeldOutPictures)) {
      losses.push_back({double(one.t_index), one.sigma, one.loss});
    }
  }
  return losses;
}

}  // namespace pangu::app
