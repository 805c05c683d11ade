#include "app/train/lora_runs.h"

#include "app/train/frozen_runs.h"
#include "core/error.h"

namespace pangu::app {
namespace {

constexpr const char* kLoraSuffix = ".safetensors";

std::string with_expert(const std::string& file, const std::string& expert) {
  return file.substr(0, file.size() - std::string(kLoraSuffix).size()) + "_" + expert + kLoraSuffix;
}

}  // namespace

train::TrainConfig lora_config(const std::string& model, const std::string& device) {
  train::TrainConfig c = frozen_config(*frozen_base_of(model), model, device);
  c.network_module = "lora";
  c.learning_rate = 1e-4;
  return c;
}

std::vector<TrainingRun> lora_runs_of(const train::TrainConfig& config) {
  const std::string file =
      config.model_output.empty() ? config.output_dir + "/lora" + kLoraSuffix : config.model_output;
  if (!file.ends_with(kLoraSuffix)) {
    throw bad_input("model_output of a LoRA", "a .safetensors file", "'" + file + "'");
  }
  const auto base = frozen_base_of(config.pretrained_model);
  std::vector<TrainingRun> runs = frozen_runs_of(config, base, base->experts);
  for (TrainingRun& run : runs) {
    run.config.model_output = file;
    if (base->experts.size() == 1) continue;
    run.config.output_dir += "/" + run.expert.name;
    run.config.model_output = with_expert(file, run.expert.name);
  }
  return runs;
}

}  // namespace pangu::app
