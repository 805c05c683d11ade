#include "pipeline/trained_model.h"

#include <filesystem>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/json_reader.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "tensors/safetensors.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kWeightsFile = "diffusion_pytorch_model.safetensors";
constexpr const char* kIndexFile = "model_index.json";
constexpr const char* kStructure = "unet";
constexpr const char* kTexture = "unet_texture";
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
  reader.get<std::string>("text_model", "");
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

json drawing_keys(const TrainedModelPlan& plan) {
  json keys = {{"default_size", {plan.default_side_px, plan.default_side_px}}};
  for (const std::string& file : plan.drawing) keys.update(drawing_keys_of(file));
  return keys;
}

// The half of the noise levels that a model folder was trained on, [min, max), and the folder of
// the network for it.
struct Half {
  int64_t min = 0, max = 0;
  fs::path network;
};

Half half_of(const std::string& folder, bool structure, int64_t steps) {
  const std::string file = (fs::path(folder) / kIndexFile).string();
  JsonReader index = io::open_json_file(file, "other_expert");
  if (index.has(kBoundary) && fs::is_directory(fs::path(folder) / kTexture)) {
    const auto boundary = index.need<int64_t>(kBoundary);
    return structure ? Half{boundary, steps, fs::path(folder) / kStructure}
                     : Half{0, boundary, fs::path(folder) / kTexture};
  }
  const auto range = index.need<std::vector<int64_t>>(kTrainedRange);
  if (range.size() != 2) throw index.error(kTrainedRange, "[first, end]", json(range).dump());
  return {range[0], range[1], fs::path(folder) / kStructure};
}

// None if the plan has no other expert.
std::optional<Half> other_half(const TrainedModelPlan& plan) {
  if (plan.other_expert.empty()) return std::nullopt;
  const int64_t steps = plan.schedule.num_train_timesteps();
  const bool structure = plan.min_timestep == 0;  // of the other
  const Half half = half_of(plan.other_expert, structure, steps);
  const bool meets = structure ? half.min == plan.max_timestep && half.max == steps
                               : half.min == 0 && half.max == plan.min_timestep;
  if (!meets) {
    const auto range = [](int64_t min, int64_t max) {
      return std::to_string(min) + " to " + std::to_string(max);
    };
    throw bad_input("other_expert '" + plan.other_expert + "'",
                    "an expert trained on the timesteps " +
                        (structure ? range(plan.max_timestep, steps) : range(0, plan.min_timestep)),
                    "one trained on " + range(half.min, half.max));
  }
  return half;
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

void write_network(const fs::path& folder, const TrainedNetwork& network, const char* file) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) throw io_error("cannot make", folder.string(), failed.value());
  write_keys(folder / "config.json", network.config);
  std::map<std::string, at::Tensor> weights;
  for (const auto& [name, tensor] : network.weights) {
    weights[name] = tensor.cpu().to(at::kBFloat16).contiguous();
  }
  tensors::save_safetensors((folder / file).string(), weights, {{"format", "pt"}});
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
                         const TrainedNetwork& unet, const TrainedNetwork& image_encoder) {
  const fs::path out = folder, inputs = plan.inputs;
  const json drawing = drawing_keys(plan);
  const std::optional<Half> other = other_half(plan);
  std::error_code failed;
  fs::create_directories(out / "scheduler", failed);
  if (failed) throw io_error("cannot make", (out / "scheduler").string(), failed.value());
  fs::remove(out / kIndexFile, failed);  // what is half written is no model

  json index = {{"_class_name", "PanGuDrawPipeline"},
                {"_pangu_version", 1},
                {"scheduler", library_class("diffusers", "DDIMScheduler")},
                {kStructure, library_class("diffusers", "UNet2DConditionModel")}};
  const bool is_texture = other && plan.min_timestep == 0;
  if (other) {
    copy_folder(other->network, out / (is_texture ? kStructure : kTexture));
    index[kTexture] = index[kStructure];
    index[kBoundary] = is_texture ? plan.max_timestep : plan.min_timestep;
  } else if (plan.min_timestep > 0 || plan.max_timestep < plan.schedule.num_train_timesteps()) {
    index[kTrainedRange] = {plan.min_timestep, plan.max_timestep};
  }
  write_network(out / (is_texture ? kTexture : kStructure), unet, kWeightsFile);

  copy_folder(inputs / "vae", out / "vae");
  const std::string vae = class_of(out / "vae", "AutoencoderKL");
  index["vae"] = library_class(vae == "PixelSpace" ? "pangu_draw" : "diffusers", vae);
  if (!image_encoder.weights.empty()) {
    write_network(out / "image_encoder", image_encoder, "model.safetensors");
    index["image_encoder"] = library_class("transformers", "CLIPVisionModelWithProjection");
  }
  if (plan.reads_captions && !drawing.contains("text_model")) {
    for (const char* part : {"text_encoder", "tokenizer"}) copy_folder(inputs / part, out / part);
    index["text_encoder"] = library_class("transformers", "BertModel");
    index["tokenizer"] = library_class("transformers", "XLMRobertaTokenizerFast");
  }
  write_keys(out / "scheduler/scheduler_config.json", scheduler_keys(plan));
  index.update(drawing);
  write_keys(out / kIndexFile, index);
}

}  // namespace pangu::pipeline
