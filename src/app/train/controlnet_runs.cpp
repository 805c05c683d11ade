#include "app/train/controlnet_runs.h"

#include "app/train/frozen_runs.h"
#include "core/error.h"
#include "pipeline/convert/convert.h"

namespace pangu::app {

train::TrainConfig controlnet_config(const std::string& model, const std::string& device) {
  train::TrainConfig c = frozen_config(*frozen_base_of(model), model, device);
  c.network_module = "controlnet";
  c.learning_rate = 1e-5;
  c.control_dropout_rate = 0;
  return c;
}

std::vector<TrainingRun> controlnet_runs_of(const train::TrainConfig& config) {
  const auto base = frozen_base_of(config.pretrained_model);
  if (base->model.denoising.extra_channels > 0) {
    throw bad_input("model '" + config.pretrained_model + "'",
                    "one that draws from text alone, for a ControlNet", "an inpainting model");
  }
  if (pipeline::is_single_file_name(config.model_output)) {
    throw bad_input("model_output of a ControlNet", "a folder", "'" + config.model_output + "'");
  }
  if (config.latent_crop > 0) {
    throw bad_input("latent_crop", "0 for a ControlNet, whose pictures are not cut",
                    std::to_string(config.latent_crop));
  }
  if (!config.sample_prompts.empty()) {
    throw bad_input("sample_prompts", "none for a ControlNet, which draws from pictures too",
                    std::to_string(config.sample_prompts.size()));
  }
  if (base->experts.size() > 1 && config.expert == "all") {
    throw bad_input("expert", "structure or texture, whose ControlNet it will be", "all");
  }
  std::vector<TrainingRun> runs = frozen_runs_of(config, base, base->experts);
  for (TrainingRun& run : runs) place_run(run);
  return runs;
}

}  // namespace pangu::app
