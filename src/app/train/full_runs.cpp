#include "app/train/full_runs.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "app/home.h"
#include "app/train/frozen_runs.h"
#include "core/error.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "pipeline/families/spec.h"
#include "pipeline/initial_network.h"
#include "pipeline/network_folder.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kStructureName = "structure";
constexpr const char* kTextureName = "texture";

bool is_half(const std::string& expert) {
  return expert == kStructureName || expert == kTextureName;
}

// The halves of a denoiser's timesteps, of which config.expert is one.
pipeline::TrainedExpert half_of(const train::TrainConfig& config, int64_t steps) {
  const train::TrainConfig unsaid;
  const bool is_texture = config.expert == kTextureName;
  const bool is_said = is_texture ? config.max_timestep != unsaid.max_timestep
                                  : config.min_timestep != unsaid.min_timestep;
  const int64_t said = is_texture ? config.max_timestep : config.min_timestep;
  return pipeline::half_expert(config.expert, is_said ? said : steps / 2, steps);
}

std::vector<pipeline::TrainedExpert> experts_of(const train::TrainConfig& config,
                                                const pipeline::FrozenBase& base) {
  const train::TrainConfig unsaid;
  const int64_t steps = base.model.denoising.schedule.num_train_timesteps();
  if (base.experts.size() == 1 && is_half(config.expert)) return {half_of(config, steps)};
  if (config.min_timestep == unsaid.min_timestep && config.max_timestep == unsaid.max_timestep) {
    return base.experts;
  }
  // Only a training from random weights may say a range of its own.
  if (base.experts.size() > 1) {
    throw bad_input(
        "min_timestep, max_timestep", "nothing, as the model says where its experts part",
        std::to_string(config.min_timestep) + ", " + std::to_string(config.max_timestep));
  }
  pipeline::TrainedExpert one = base.experts.front();
  one.min_timestep = config.min_timestep;
  one.max_timestep = std::min(config.max_timestep, steps);
  if (one.min_timestep > 0) one.name = kStructureName;
  if (one.min_timestep == 0 && one.max_timestep < steps) one.name = kTextureName;
  return {one};
}

// A network's folder that a training begins with, written by `write` unless it is there already;
// made_of tells it from others.
void write_once(const fs::path& folder, const json& made_of, const std::function<void()>& write) {
  const fs::path note = folder / "made_of.json";
  if (fs::exists(note) && io::read_json_file(note.string()) == made_of) return;
  write();
  io::write_file_atomic(note.string(), made_of.dump(2) + "\n");
}

// Random weights, or those of config.initial_weights.
void write_random(const train::TrainConfig& config, const fs::path& folder) {
  const json network = io::read_json_file(config.network_config, "network_config");
  const json made_of = {
      {"network", network}, {"seed", config.seed}, {"initial_weights", config.initial_weights}};
  write_once(folder, made_of, [&] {
    std::map<std::string, at::Tensor> given;
    if (!config.initial_weights.empty()) given = read_initial_weights(config.initial_weights);
    pipeline::write_initial_network(folder.string(), network, static_cast<uint64_t>(config.seed),
                                    given);
  });
}

// The one denoiser of a model that draws from text, with input channels for masks.
void write_inpainting(const pipeline::FrozenBase& base, const fs::path& folder) {
  const pipeline::FolderSpec& names = base.source->spec->folder;
  if (base.experts.size() > 1 || names.inpaint_pipeline == names.pipeline) {
    throw bad_input("inpainting",
                    "a model with one denoiser, of a family that has inpainting models",
                    base.source->what.human_name);
  }
  const pipeline::Component& component = base.source->need(base.experts.front().component);
  const json made_of = {{"inpainting", true}, {"network", pipeline::fingerprint_of(component)}};
  write_once(folder, made_of, [&] {
    pipeline::write_inpainting_network(folder.string(), component, base.model.latents.channels);
  });
}

// The model on another network, which `write` writes to a folder.
std::shared_ptr<const pipeline::FrozenBase> base_with(
    const std::string& model, const train::TrainConfig& config, bool is_dry,
    const std::function<void(const fs::path& folder)>& write) {
  fs::path folder = fs::path(config.output_dir) / "training" / "initial_unet";
  if (is_dry) {
    folder = fs::temp_directory_path() / ("pangu-draw-initial-" + std::to_string(::getpid()));
  }
  write(folder);
  auto base = frozen_base_of(model, folder.string());
  if (!is_dry) return base;
  // The folder goes with the base.
  return {base.get(), [base, folder](const auto*) mutable {
            base.reset();
            std::error_code ignored;
            fs::remove_all(folder, ignored);
          }};
}

std::shared_ptr<const pipeline::FrozenBase> base_of(const train::TrainConfig& config, bool is_dry) {
  if (config.pretrained_model.empty()) {
    return base_with(config.model_dir, config, is_dry,
                     [&](const fs::path& folder) { write_random(config, folder); });
  }
  auto base = frozen_base_of(config.pretrained_model);
  if (!config.inpainting || base->model.denoising.extra_channels > 0) return base;
  check_output(config);  // before there is something of this training in it
  return base_with(config.pretrained_model, config, is_dry,
                   [&](const fs::path& folder) { write_inpainting(*base, folder); });
}

}  // namespace

bool is_own_model(const std::string& model) {
  const pipeline::Source source = pipeline::open_source(model_path(model).string());
  return source.spec->training.has_value() && !source.is_single_file();
}

bool begins_from_nothing(const train::TrainConfig& config) {
  if (config.task != "denoiser" || !config.pretrained_model.empty()) return false;
  const fs::path folder = config.model_dir;
  if (fs::is_regular_file(folder)) return true;
  if (!fs::exists(folder / "model_index.json")) return false;
  if (fs::exists(folder / "text_encoder_2")) return true;
  const fs::path encoder = folder / "text_encoder/config.json";
  return fs::exists(encoder) &&
         io::read_json_file(encoder.string()).value("model_type", "") != "bert";
}

train::TrainConfig full_config(const std::string& model, const std::string& device,
                               const std::string& expert) {
  train::TrainConfig c = frozen_config(*frozen_base_of(model), model, device);
  c.learning_rate = 1e-5;
  c.caption_dropout_rate = 0.1;  // so that guidance keeps what it is
  if (expert == kTextureName) c.min_image_size = c.resolution = c.resolution / 2;
  return c;
}

std::vector<TrainingRun> full_runs_of(const train::TrainConfig& config, bool is_dry) {
  const auto base = base_of(config, is_dry);
  std::vector<TrainingRun> runs = frozen_runs_of(config, base, experts_of(config, *base));
  for (TrainingRun& run : runs) place_run(run);
  return runs;
}

pipeline::TunedModelPlan tuned_plan_of(const TrainingRun& run) {
  pipeline::TunedModelPlan plan;
  plan.expert = run.expert;
  plan.train_timesteps = run.frozen->model.denoising.schedule.num_train_timesteps();
  plan.save_precision = run.config.save_precision;
  plan.is_half = run.frozen->experts.size() == 1 &&
                 (run.expert.min_timestep > 0 || run.expert.max_timestep < plan.train_timesteps);
  return plan;
}

}  // namespace pangu::app
