// `pangu-draw train` for network_module = "controlnet": a ControlNet beside one denoiser of a model
// of any family, which begins as a copy of its downward half.
#include <torch/nn.h>
#include <torch/types.h>

#include "app/train/train_frozen.h"
#include "pipeline/network_folder.h"

namespace pangu::app {

TrainingOutcome train_controlnet(const TrainingRun& run) {
  const train::TrainConfig& config = run.config;
  const at::ScalarType type = pipeline::save_type_from(config.save_precision);
  nlohmann::json keys;  // of the network's config.json
  const auto write = [&](const tensors::TensorMap& weights, int64_t, const TrainingData&) {
    pipeline::write_network_folder(config.model_output, keys, weights, type);
  };
  FrozenKind kind;
  kind.learners = [&](const pipeline::FrozenPlace& place, int64_t count) {
    Learners learners;
    std::vector<pipeline::ControlledDenoiser> all;
    for (int64_t r = 0; r < count; ++r) {
      seed_weights(config);
      all.push_back(pipeline::controlled_denoiser(*run.frozen, run.expert, place,
                                                  all.empty() ? nullptr : &all.front()));
      learners.modules.push_back(all.back().control.module);
      learners.calls.push_back(all.back().control.predict);
    }
    keys = all.front().control.parts.front().config;
    return learners;
  };
  kind.write = kind.write_so_far = write;
  return train_frozen(run, kind);
}

}  // namespace pangu::app
