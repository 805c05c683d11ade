#include "pipeline/trained_model.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/json_reader.h"
#include "io/atomic_file.h"
#include "io/folder_turn.h"
#include "io/json_file.h"
#include "pipeline/families/spec.h"
#include "pipeline/network_folder.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kPipeline = "PanGuDrawPipeline";
constexpr const char* kIndexFile = "model_index.json";
constexpr const char* kStructure = "unet";
constexpr const char* kTexture = "unet_texture";
constexpr const char* kImageEncoderPart = "image_encoder";
constexpr const char* kBoundary = "expert_boundary";
constexpr const char* kTrainedRange = "trained_timesteps";  // of a model with one of two experts

json library_class(const char* library, const std::string& name) {
  return json::array({library, name});
}

// What a file says of drawing. Throws for an unknown key and for a value that makes no sense.
json drawing_keys_of(const std::string& file) {
  JsonReader reader = io::open_json_file(file, "drawing");
  const auto size = reader.get<std::vector<int>>("default_size", {1, 1});
  if (size.size() != 2 || size[0] < 1 || size[1] < 1) {
    throw reader.error("default_size", "[width, height] in pixels", json(size).dump());
  }
  const int steps = reader.get("default_steps", 1);
  if (steps < 1) throw reader.error("default_steps", "1 or more", std::to_string(steps));
  reader.get("default_guidance", 1.0);
  reader.get("default_guidance_low", 0.0);
  for (const char* name : {"default_sampler", "default_schedule", "text_model"}) {
    reader.get<std::string>(name, "");
  }
  using Words = std::map<std::string, std::string>;
  for (const auto& [name, words] : reader.get<std::map<std::string, Words>>("style_prompts", {})) {
    for (const auto& [language, text] : words) {
      if (language == "en" || language == "zh") continue;
      throw reader.error("style_prompts." + name, "the languages en and zh", "'" + language + "'");
    }
  }
  reader.refuse_unread();
  return reader.json();
}

// What the model that training goes on from says of drawing. Its text encoder is copied.
json drawing_keys_of_base(const std::string& folder) {
  const json index = io::read_json_file((fs::path(folder) / kIndexFile).string());
  json keys = json::object();
  for (const auto& [key, value] : index.items()) {
    if (key.starts_with("default_") || key == "style_prompts") keys[key] = value;
  }
  return keys;
}

json drawing_keys(const TrainedModelPlan& plan) {
  json keys = {{"default_size", {plan.default_side_px, plan.default_side_px}}};
  if (!plan.base.empty()) keys.update(drawing_keys_of_base(plan.base));
  for (const std::string& file : plan.drawing) keys.update(drawing_keys_of(file));
  return keys;
}

std::string range_text(int64_t min, int64_t max) {
  return std::to_string(min) + " to " + std::to_string(max);
}

// None if the plan has no other expert.
std::optional<TrainedExpert> other_half(const TrainedModelPlan& plan) {
  if (plan.other_expert.empty()) return std::nullopt;
  const int64_t steps = plan.schedule.num_train_timesteps();
  const bool structure = plan.min_timestep == 0;  // of the other
  const int64_t min = structure ? plan.max_timestep : 0;
  const int64_t max = structure ? steps : plan.min_timestep;
  std::string found;
  for (const TrainedExpert& one : trained_experts(plan.other_expert, steps, "other_expert")) {
    if (one.min_timestep == min && one.max_timestep == max) return one;
    found += (found.empty() ? "one trained on " : " and one on ") +
             range_text(one.min_timestep, one.max_timestep);
  }
  throw bad_input("other_expert '" + plan.other_expert + "'",
                  "an expert trained on the timesteps " + range_text(min, max), found);
}

json scheduler_keys(const TrainedModelPlan& plan) {
  const diffusion::ScheduleConfig& c = plan.schedule.config();
  json keys = {{"_class_name", "DDIMScheduler"},
               {"num_train_timesteps", c.num_train_timesteps},
               {"beta_schedule", diffusion::to_string(c.beta_schedule)},
               {"beta_start", c.beta_start},
               {"beta_end", c.beta_end},
               {"clip_sample", false},
               {"set_alpha_to_one", false},
               {"steps_offset", 1},
               {"timestep_spacing", "trailing"},
               {"prediction_type", diffusion::to_string(plan.parameterisation)}};
  if (c.rescale_betas_zero_snr) keys["rescale_betas_zero_snr"] = true;
  return keys;
}

void write_keys(const fs::path& file, const json& keys) {
  io::write_file_atomic(file.string(), keys.dump(2) + "\n");
}

void copy_folder(const fs::path& from, const fs::path& to) {
  std::error_code failed;
  if (fs::equivalent(from, to, failed)) return;
  fs::remove_all(to, failed);
  failed.clear();
  fs::create_directories(to, failed);
  if (!failed) {
    fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::overwrite_existing, failed);
  }
  if (failed) throw io_error("cannot copy '" + from.string() + "' to", to.string(), failed.value());
}

void make_folder(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) throw io_error("cannot make", folder.string(), failed.value());
}

void write_network(const fs::path& folder, const TrainablePart& part, const char* file,
                   const std::map<std::string, at::Tensor>& all) {
  std::map<std::string, at::Tensor> weights;
  for (const auto& [name, tensor] : all) {
    if (name.starts_with(part.prefix)) weights[name.substr(part.prefix.size())] = tensor;
  }
  write_network_folder(folder.string(), part.config, weights, at::kBFloat16, file);
}

std::string class_of(const fs::path& component, const char* usual) {
  return io::read_json_file((component / "config.json").string(), "configuration")
      .value("_class_name", std::string(usual));
}

}  // namespace

void check_trained_model(const TrainedModelPlan& plan) {
  drawing_keys(plan);
  other_half(plan);
}

void write_trained_model(const std::string& folder, const TrainedModelPlan& plan,
                         const std::vector<TrainablePart>& parts,
                         const std::map<std::string, at::Tensor>& weights) {
  const fs::path out = folder, inputs = plan.inputs;
  const json drawing = drawing_keys(plan);
  const std::optional<TrainedExpert> other = other_half(plan);
  const io::FolderTurn turn(folder);
  std::error_code failed;
  fs::remove(out / kIndexFile, failed);  // what is half written is no model

  json index = {{"_class_name", kPipeline},
                {"_pangu_version", 1},
                {"scheduler", library_class("diffusers", "DDIMScheduler")},
                {kStructure, library_class("diffusers", "UNet2DConditionModel")}};
  const bool is_texture = other && plan.min_timestep == 0;
  if (other) {
    copy_folder(fs::path(plan.other_expert) / other->component,
                out / (is_texture ? kStructure : kTexture));
    index[kTexture] = index[kStructure];
    index[kBoundary] = is_texture ? plan.max_timestep : plan.min_timestep;
  } else if (plan.min_timestep > 0 || plan.max_timestep < plan.schedule.num_train_timesteps()) {
    index[kTrainedRange] = {plan.min_timestep, plan.max_timestep};
  }
  for (const TrainablePart& part : parts) {
    if (part.component == kImageEncoderPart) {
      write_network(out / part.component, part, "model.safetensors", weights);
      index[kImageEncoderPart] = library_class("transformers", "CLIPVisionModelWithProjection");
    } else {
      write_network(out / (is_texture ? kTexture : kStructure), part, kNetworkWeights, weights);
    }
  }
  copy_folder(inputs / "vae", out / "vae");
  const std::string vae = class_of(out / "vae", "AutoencoderKL");
  index["vae"] = library_class(vae == "PixelSpace" ? "pangu_draw" : "diffusers", vae);
  if (plan.reads_captions && !drawing.contains("text_model")) {
    const fs::path text = text_folder_of(plan.inputs);
    for (const char* part : {"text_encoder", "tokenizer"}) copy_folder(text / part, out / part);
    index["text_encoder"] = library_class("transformers", "BertModel");
    index["tokenizer"] = library_class("transformers", "XLMRobertaTokenizerFast");
  }
  if (plan.base.empty()) {
    make_folder(out / "scheduler");
    write_keys(out / "scheduler/scheduler_config.json", scheduler_keys(plan));
  } else {
    copy_folder(fs::path(plan.base) / "scheduler", out / "scheduler");
  }
  index.update(drawing);
  write_keys(out / kIndexFile, index);
}

const TrainingSpec& training_from_nothing(bool reads_pictures) {
  io::Recognised what;
  if (reads_pictures) what.components = {kImageEncoderPart};
  return spec_of(what, {{"_class_name", kPipeline}}).training.value();
}

std::vector<TrainedExpert> trained_experts(const std::string& folder, int64_t steps,
                                           const std::string& what) {
  JsonReader index = io::open_json_file((fs::path(folder) / kIndexFile).string(), what);
  if (fs::is_directory(fs::path(folder) / kTexture)) {
    const auto boundary = index.get<int64_t>(kBoundary, steps / 2);
    return {{"structure", kStructure, boundary, steps}, {"texture", kTexture, 0, boundary}};
  }
  const auto range = index.get<std::vector<int64_t>>(kTrainedRange, {0, steps});
  if (range.size() != 2 || range[0] < 0 || range[0] >= range[1] || range[1] > steps) {
    throw index.error(kTrainedRange, "[first, end] within " + range_text(0, steps),
                      json(range).dump());
  }
  const char* name = range[0] > 0 ? "structure" : range[1] < steps ? "texture" : "denoiser";
  return {{name, kStructure, range[0], range[1]}};
}

}  // namespace pangu::pipeline
