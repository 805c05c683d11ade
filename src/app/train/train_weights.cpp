// `pangu-draw train` for all weights of one denoiser of a model of any family.
#include <torch/nn.h>
#include <torch/types.h>

#include "app/train/full_runs.h"
#include "app/train/train_frozen.h"
#include "pipeline/tuned_model.h"

namespace pangu::app {

TrainingOutcome train_weights(const TrainingRun& run) {
  const train::TrainConfig& config = run.config;
  const pipeline::TunedModelPlan plan = tuned_plan_of(run);
  pipeline::check_tuned_model(config.model_output, *run.frozen, plan);
  FrozenKind kind;
  // No copies in f32 of what is written in bf16 anyway.
  if (config.save_precision == "bf16") kind.weights_type = at::kBFloat16;
  kind.learners = [&](const pipeline::FrozenPlace& place, int64_t count) {
    Learners learners;
    std::vector<pipeline::TrainableDenoiser> all;
    for (int64_t r = 0; r < count; ++r) {
      all.push_back(pipeline::tuned_denoiser(*run.frozen, run.expert, place,
                                             all.empty() ? nullptr : &all.front()));
      learners.modules.push_back(all.back().module);
      learners.calls.push_back(all.back().predict);
    }
    return learners;
  };
  kind.write = [&](const tensors::TensorMap& weights, int64_t, const TrainingData&) {
    pipeline::write_tuned_model(config.model_output, *run.frozen, plan, weights);
  };
  return train_frozen(run, kind);
}

}  // namespace pangu::app
