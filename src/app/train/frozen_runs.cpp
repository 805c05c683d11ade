#include "app/train/frozen_runs.h"

#include <algorithm>
#include <filesystem>

#include "app/home.h"
#include "core/error.h"
#include "pipeline/convert/convert.h"
#include "train/mixed_precision.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUsualBucketStep = 64;  // px, kohya's
constexpr int64_t kThreeChunks = 225;     // tokens, as kohya's largest max_token_length

void check_sizes(const train::TrainConfig& config, const pipeline::RequestRules& rules) {
  if (!rules.sizes.empty()) return;  // pictures go to these
  const auto check = [&](const char* key, int64_t px) {
    if (px % rules.size_multiple == 0) return;
    throw bad_input(key, "a multiple of " + std::to_string(rules.size_multiple) + " px",
                    std::to_string(px), "the model has no latents of other sizes");
  };
  if (config.enable_bucket) return check("bucket_reso_steps", config.bucket_reso_steps);
  check("resolution", config.resolution);
}

void check_masks(const train::TrainConfig& config, const pipeline::FrozenBase& base) {
  if (base.model.denoising.extra_channels == 0) {
    if (config.mask_data_dir.empty()) return;
    throw bad_input("mask_data_dir", "an inpainting model, or inpainting = true",
                    "'" + base.source->name + "', which draws from text alone");
  }
  if (config.latent_crop > 0) {
    throw bad_input("latent_crop", "0 for an inpainting model, whose pictures are not cut",
                    std::to_string(config.latent_crop));
  }
}

}  // namespace

std::shared_ptr<const pipeline::FrozenBase> frozen_base_of(const std::string& model,
                                                           const std::string& unet) {
  pipeline::LoadOptions options;
  options.dtype = "f32";  // of text encoders and autoencoder, which serve once
  options.tokenizers = (home() / "models" / "tokenizers").string();
  options.unet = unet;
  return std::make_shared<const pipeline::FrozenBase>(
      pipeline::open_frozen_base(model_path(model).string(), options));
}

train::TrainConfig frozen_config(const pipeline::FrozenBase& base, const std::string& model,
                                 const std::string& device) {
  train::TrainConfig c;
  c.pretrained_model = model;
  c.resolution = base.default_side_px;
  c.enable_bucket = true;
  c.bucket_reso_steps = std::max<int64_t>(kUsualBucketStep, base.model.rules.size_multiple);
  c.train_batch_size = 1;
  c.replicas = 1;
  c.max_train_steps = 1000;
  c.lr_scheduler = "constant";
  c.lr_warmup_steps = 20;
  c.adam_beta2 = 0.999;
  c.use_ema = false;
  c.loss_weighting = "none";
  c.caption_dropout_rate = 0;
  c.max_token_length = kThreeChunks;
  c.sample_every_n_steps = 0;
  c.gradient_checkpointing = true;
  if (!device.empty()) c.device = device;
  c.mixed_precision = train::fastest_mixed_precision(c.device);
  return c;
}

std::vector<TrainingRun> frozen_runs_of(const train::TrainConfig& config,
                                        const std::shared_ptr<const pipeline::FrozenBase>& base,
                                        const std::vector<pipeline::TrainedExpert>& experts) {
  check_sizes(config, base->model.rules);
  check_masks(config, *base);
  std::vector<TrainingRun> runs;
  std::string names;
  for (const pipeline::TrainedExpert& expert : experts) {
    names += (names.empty() ? "" : " and ") + expert.name;
    if (config.expert != "all" && config.expert != expert.name) continue;
    TrainingRun run;
    run.config = config;
    run.config.prediction_type = diffusion::to_string(base->model.denoising.parameterisation);
    run.config.min_timestep = expert.min_timestep;
    run.config.max_timestep = expert.max_timestep;
    run.frozen = base;
    run.expert = expert;
    runs.push_back(std::move(run));
  }
  if (runs.empty()) {
    throw bad_input("expert", "all or " + names + ", which '" + base->source->name + "' has",
                    "'" + config.expert + "'");
  }
  return runs;
}

void check_output(const train::TrainConfig& config) {
  if (pipeline::is_single_file_name(config.output_dir)) {
    throw bad_input("output_dir '" + config.output_dir + "'", "a folder", "the name of a file",
                    "model_output names the file to write");
  }
  if (fs::exists(config.output_dir + "/training")) return;
  if (pipeline::is_single_file_name(config.model_output) && fs::exists(config.model_output)) {
    throw bad_input("model_output '" + config.model_output + "'",
                    "a new file, or one that this training began", "another that is there");
  }
  const std::string& out = config.output_dir;
  const bool is_written = config.model_output.empty() || config.model_output == out;
  if (!is_written || !fs::exists(out) || fs::is_empty(out)) return;
  throw bad_input("output_dir '" + out + "'", "an empty folder, or one that this training began",
                  "one with other files");
}

void place_run(TrainingRun& run) {
  train::TrainConfig& config = run.config;
  if (config.model_output.empty()) config.model_output = config.output_dir;
  if (fs::weakly_canonical(config.model_output) == fs::weakly_canonical(run.frozen->path)) {
    throw bad_input("output_dir '" + config.model_output + "'", "another folder than the model's",
                    "that of the model to train");
  }
  check_output(config);
  const std::string training = config.output_dir + "/training";
  if (config.cache_dir == config.output_dir + "/cache") config.cache_dir = training + "/cache";
  config.output_dir = training + "/" + run.expert.name;
}

}  // namespace pangu::app
