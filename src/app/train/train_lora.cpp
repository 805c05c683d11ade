// `pangu-draw train` for network_module = "lora": changes of one denoiser of a model of any family,
// and of its text encoders.
#include <torch/nn.h>
#include <torch/types.h>

#include <cstdio>
#include <filesystem>
#include <iterator>

#include "app/train/lora_metadata.h"
#include "app/train/train_frozen.h"
#include "pipeline/trained_lora.h"
#include "tensors/safetensors.h"

namespace pangu::app {
namespace {

// Of the layers around the attention, kohya's LoCon.
constexpr const char* kConvTargets[] = {
    "conv1", "conv2", "conv_shortcut", "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv"};

// Of CLIP's layers, kohya's: attention and perceptron.
constexpr const char* kTextTargets[] = {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"};
constexpr const char* kTextNames = "lora_te";  // begin so; those of the denoiser do not

nn::LowRankOptions low_rank_options(const train::TrainConfig& config) {
  nn::LowRankOptions o;
  o.rank = config.network_dim;
  o.alpha = config.network_alpha > 0 ? config.network_alpha : double(o.rank);
  o.kernel_rank = config.conv_dim;
  o.kernel_alpha = config.conv_alpha > 0 ? config.conv_alpha : double(o.kernel_rank);
  o.targets = config.target_modules;
  if (o.kernel_rank > 0) o.targets.insert(o.targets.end(), kConvTargets, std::end(kConvTargets));
  return o;
}

pipeline::ChangePlan change_plan(const train::TrainConfig& config) {
  pipeline::ChangePlan plan;
  const nn::LowRankOptions options = low_rank_options(config);
  if (train::changes_denoiser(config)) plan.denoiser = options;
  if (!train::changes_text(config)) return plan;
  plan.text = options;
  plan.text->targets.assign(std::begin(kTextTargets), std::end(kTextTargets));
  return plan;
}

// TrainHooks::rate_factor
double rate_factor_of(const train::TrainConfig& config, const std::string& parameter) {
  const bool is_text = parameter.starts_with(kTextNames);
  const double own = is_text ? config.text_encoder_lr : config.unet_lr;
  return own > 0 ? own / config.learning_rate : 1;
}

std::string file_of_step(const std::string& file, int64_t step) {
  const std::filesystem::path path = file;
  char number[32];
  std::snprintf(number, sizeof number, "-%08lld", static_cast<long long>(step));
  return (path.parent_path() / (path.stem().string() + number)).string() + ".safetensors";
}

}  // namespace

TrainingOutcome train_lora(const TrainingRun& run) {
  const train::TrainConfig& config = run.config;
  const pipeline::LoraLayout layout = pipeline::lora_layout_from(config.lora_format);
  std::shared_ptr<nn::LowRankChanges> first;
  const auto write = [&](const std::string& file, const auto& weights, int64_t step,
                         const TrainingData& data) {
    const auto parent = std::filesystem::path(file).parent_path();
    if (!parent.empty()) std::filesystem::create_directories(parent);
    tensors::save_safetensors(file, pipeline::lora_tensors(first->layers(), weights, layout),
                              lora_metadata_of(run, data, step));
  };
  FrozenKind kind;
  kind.learners = [&](const pipeline::FrozenPlace& place, int64_t count) {
    Learners learners;
    std::vector<pipeline::ChangedDenoiser> all;
    for (int64_t r = 0; r < count; ++r) {
      seed_weights(config);
      all.push_back(pipeline::changed_denoiser(*run.frozen, run.expert, change_plan(config), place,
                                               all.empty() ? nullptr : &all.front()));
      learners.modules.push_back(all.back().changes);
      learners.calls.push_back(all.back().predict);
    }
    first = all.front().changes;
    learners.text = all.front().text;
    return learners;
  };
  kind.rate_factor = [&](const std::string& parameter) {
    return rate_factor_of(config, parameter);
  };
  kind.write = [&](const tensors::TensorMap& weights, int64_t step, const TrainingData& data) {
    write(config.model_output, weights, step, data);
  };
  kind.write_so_far = [&](const tensors::TensorMap& weights, int64_t step,
                          const TrainingData& data) {
    write(file_of_step(config.model_output, step), weights, step, data);
  };
  return train_frozen(run, kind);
}

}  // namespace pangu::app
