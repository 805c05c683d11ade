#include "app/train/finetune.h"

#include <filesystem>

#include "app/home.h"
#include "app/train/controlnet_runs.h"
#include "app/train/full_runs.h"
#include "app/train/lora_runs.h"
#include "core/error.h"
#include "io/atomic_file.h"
#include "pipeline/convert/convert.h"
#include "pipeline/model.h"
#include "train/mixed_precision.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

void refuse_single_file(const train::TrainConfig& config) {
  if (!pipeline::is_single_file_name(config.model_output)) return;
  throw bad_input("model_output", "a folder, as models of this program's own families are",
                  "the single file '" + config.model_output + "'");
}

// One expert of the model that `config` names.
TrainingRun run_of(train::TrainConfig config,
                   const std::shared_ptr<const pipeline::TrainingBase>& base,
                   const pipeline::TrainedExpert& expert) {
  if (config.model_output.empty()) config.model_output = config.output_dir;
  refuse_single_file(config);
  if (fs::weakly_canonical(config.model_output) == fs::weakly_canonical(base->source->folder)) {
    throw bad_input("output_dir '" + config.model_output + "'", "another folder than the model's",
                    "that of the model to fine-tune");
  }
  const std::string training = config.output_dir + "/training";
  if (config.model_output == config.output_dir && fs::exists(config.output_dir) &&
      !fs::is_empty(config.output_dir) && !fs::exists(training)) {
    throw bad_input("output_dir '" + config.output_dir + "'",
                    "an empty folder, or one that fine-tuning began", "one with other files");
  }
  if (config.cache_dir == config.output_dir + "/cache") config.cache_dir = training + "/cache";
  config.output_dir = training + "/" + expert.name;
  config.model_dir = base->source->folder;
  config.prediction_type = diffusion::to_string(base->parameterisation);
  config.min_timestep = expert.min_timestep;
  config.max_timestep = expert.max_timestep;
  if (base->reads_control) config.control = "edges";
  TrainingRun run;
  run.config = std::move(config);
  run.base = base;
  run.expert = expert;
  return run;
}

// Of trainings whose networks read no masks.
void refuse_masks(const train::TrainConfig& config) {
  const auto refuse = [](const char* key) {
    throw bad_input(key, "a model of another family than our own, for an inpainting model",
                    "a training without masks");
  };
  if (config.inpainting) refuse("inpainting");
  if (!config.mask_data_dir.empty()) refuse("mask_data_dir");
}

}  // namespace

train::TrainConfig finetuning_config(const std::string& model, const std::string& device) {
  const pipeline::TrainingBase base = pipeline::open_training_base(model_path(model).string());
  train::TrainConfig c;
  c.pretrained_model = model;
  c.resolution = base.default_side_px;
  c.enable_bucket = true;
  c.bucket_reso_steps = base.size_multiple;
  c.train_batch_size = 8;
  c.max_train_steps = 400;
  c.learning_rate = 1e-4;
  c.lr_scheduler = "constant";
  c.lr_warmup_steps = 20;
  c.ema_decay = 0.99;
  c.sample_every_n_steps = 100;
  if (!device.empty()) c.device = device;
  c.mixed_precision = train::fastest_mixed_precision(c.device);
  return c;
}

train::TrainConfig usual_config(const train::TrainConfig& asked) {
  const std::string& model = asked.pretrained_model;
  if (asked.network_module == "lora") return lora_config(model, asked.device);
  if (asked.network_module == "controlnet") return controlnet_config(model, asked.device);
  return is_own_model(model) ? finetuning_config(model, asked.device)
                             : full_config(model, asked.device, asked.expert);
}

std::vector<TrainingRun> runs_of(const train::TrainConfig& config, bool is_dry) {
  if (config.network_module == "lora") return lora_runs_of(config);
  if (config.network_module == "controlnet") return controlnet_runs_of(config);
  if (begins_from_nothing(config) ||
      (!config.pretrained_model.empty() && !is_own_model(config.pretrained_model))) {
    return full_runs_of(config, is_dry);
  }
  refuse_masks(config);
  if (config.pretrained_model.empty()) {
    refuse_single_file(config);
    TrainingRun run;
    run.config = config;
    return {run};
  }
  const auto base = std::make_shared<const pipeline::TrainingBase>(
      pipeline::open_training_base(model_path(config.pretrained_model).string()));
  std::vector<TrainingRun> runs;
  std::string names;
  for (const pipeline::TrainedExpert& expert : base->experts) {
    names += (names.empty() ? "" : " and ") + expert.name;
    if (config.expert != "all" && config.expert != expert.name) continue;
    runs.push_back(run_of(config, base, expert));
  }
  if (runs.empty()) {
    throw bad_input("expert", "all or " + names + ", which '" + config.pretrained_model + "' has",
                    "'" + config.expert + "'");
  }
  return runs;
}

void write_config(const train::TrainConfig& config, const std::string& file) {
  if (fs::exists(file)) {
    throw bad_input("--write-config", "a file that is not there yet", "'" + file + "'");
  }
  io::write_file_atomic(file,
                        "# `pangu-draw train " + file +
                            "` trains this; `pangu-draw train "
                            "--keys` explains every key.\n# Paths are taken from the folder of "
                            "this file.\n" +
                            config.toml(fs::path(file).parent_path().string()));
}

}  // namespace pangu::app
