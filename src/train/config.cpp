#include "train/config.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/error.h"
#include "data/indexed_dataset.h"
#include "io/http_file.h"

namespace pangu::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kPretrained = "pretrained_model_name_or_path";

// What a model that is fine-tuned says itself.
constexpr const char* kSaidByModel[] = {
    "network_config", "model_dir",    "initial_weights", "image_encoder_config", "prediction_type",
    "beta_schedule",  "min_timestep", "max_timestep",    "other_expert",         "control"};

constexpr const char* kControlNet = "controlnet";

// The exceptions: where the timesteps are halved, and a control picture that the model knows not.
bool may_be_said(const std::string& key, const TrainConfig& c) {
  if (key == "control") return c.network_module == kControlNet;
  return (key == "min_timestep" && c.expert == "structure") ||
         (key == "max_timestep" && c.expert == "texture");
}

void one_of(const TomlReader& reader, const char* key, const std::string& value,
            const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), value) != known.end()) return;
  std::string list;
  for (const std::string& k : known) list += (list.empty() ? "'" : ", '") + k + "'";
  throw bad_input(reader.where(key), "one of " + list, "'" + value + "'");
}

json json_of(TrainConfig config) {
  JsonFieldWriter writer;
  config.visit_fields(writer);
  return writer.json;
}

// The keys that say what of a model a LoRA changes, and how fast.
void validate_what_learns(const TrainConfig& c, const TomlReader& reader) {
  const TrainConfig standard;
  const bool is_lora = c.network_module == "lora";
  const auto needs = [&](const char* key, bool is_standard, bool is_met, const char* what) {
    if (is_standard || is_met) return;
    throw bad_input(reader.where(key), what, json_of(c)[key].dump());
  };
  constexpr const char* kOfLora = "nothing without network_module = \"lora\"";
  needs("network_train_unet_only", c.network_train_unet_only == standard.network_train_unet_only,
        is_lora, kOfLora);
  needs("network_train_text_encoder_only",
        c.network_train_text_encoder_only == standard.network_train_text_encoder_only, is_lora,
        kOfLora);
  needs("unet_lr", c.unet_lr == 0, changes_denoiser(c),
        "nothing where a LoRA does not change the denoiser");
  needs("text_encoder_lr", c.text_encoder_lr == 0, changes_text(c),
        "nothing where a LoRA does not change the text encoders "
        "(network_train_unet_only = false)");
  needs("learning_rate", c.unet_lr == 0 && c.text_encoder_lr == 0 && c.discriminator_lr == 0,
        c.learning_rate > 0,
        "a rate above 0, of which unet_lr, text_encoder_lr and discriminator_lr are shares");
}

void validate_distillation(const TrainConfig& c, const TomlReader& reader) {
  if (c.distillation_phases == 0) return;
  const auto needs = [&](const char* key, bool is_met, const char* what) {
    if (is_met) return;
    throw bad_input(reader.where(key), std::string(what) + " with distillation_phases",
                    json_of(c)[key].dump(),
                    "a whole denoiser is distilled, from weights that draw");
  };
  needs("task", c.task == "denoiser", "'denoiser'");
  needs("network_module", c.network_module.empty(), "nothing");
  needs("initial_weights", !c.initial_weights.empty() || !c.pretrained_model.empty(),
        "a file, or pretrained_model_name_or_path,");
  needs("num_ddim_timesteps", c.num_ddim_timesteps % c.distillation_phases == 0,
        "a multiple of it");
}

void validate(const TrainConfig& c, const TomlReader& reader) {
  one_of(reader, "task", c.task, {"autoencoder", "denoiser"});
  one_of(reader, "expert", c.expert, {"all", "structure", "texture"});
  one_of(reader, "data_part", c.data_part, {"all", "high", "low"});
  one_of(reader, "optimizer", c.optimizer, {"adamw", "adamw8bit", "muon"});
  one_of(reader, "lr_scheduler", c.lr_scheduler, {"cosine", "constant"});
  one_of(reader, "mixed_precision", c.mixed_precision, {"bf16", "no"});
  one_of(reader, "control", c.control, {"", "edges", "canny"});
  one_of(reader, "network_module", c.network_module, {"", "lora", "controlnet"});
  one_of(reader, "save_precision", c.save_precision, {"bf16", "fp16", "float"});
  one_of(reader, "lora_format", c.lora_format, {"kohya", "diffusers"});
  const auto required = [&](const char* key, bool given) {
    if (!given) throw bad_input(reader.where(key), "a value", "nothing");
  };
  required("output_dir", !c.output_dir.empty());
  required("train_data_dir", !c.train_data_dir.empty());
  if (c.pretrained_model.empty()) {
    required("network_config", !c.network_config.empty());
    if (c.task == "denoiser") required("model_dir", !c.model_dir.empty());
  } else {
    if (c.task != "denoiser") {
      throw bad_input(reader.where("task"), "'denoiser', which alone is fine-tuned",
                      "'" + c.task + "'");
    }
    const json said = json_of(c), standard = json_of({});
    for (const char* key : kSaidByModel) {
      if (said[key] == standard[key] || may_be_said(key, c)) continue;
      throw bad_input(reader.where(key), std::string("nothing, as ") + kPretrained + " says it",
                      said[key].dump());
    }
  }
  if (!c.network_module.empty()) {
    required(kPretrained, !c.pretrained_model.empty());
    required("target_modules", !c.target_modules.empty());
  }
  validate_what_learns(c, reader);
  if (c.network_module == kControlNet) {
    required("conditioning_data_dir (or control)",
             !c.control.empty() || !c.conditioning_data_dir.empty());
  }
  if (!c.conditioning_data_dir.empty() && (c.network_module != kControlNet || !c.control.empty())) {
    throw bad_input(reader.where("conditioning_data_dir"),
                    "network_module = 'controlnet' with it, and no `control`",
                    "network_module = '" + c.network_module + "', control = '" + c.control + "'");
  }
  if (c.inpainting) {
    required(kPretrained, !c.pretrained_model.empty());
    if (!c.network_module.empty()) {
      throw bad_input(reader.where("inpainting"), "false with network_module",
                      "true and '" + c.network_module + "'",
                      "a LoRA of a model that is an inpainting model needs no key");
    }
  }
  c.native_size_histogram().validate(reader.where("native_sizes"));
  if (c.bucket_no_upscale && !c.enable_bucket) {
    throw bad_input(reader.where("bucket_no_upscale"), "enable_bucket = true with it", "false");
  }
  if (c.fused_backward_pass) {
    const auto needs = [&](const char* key, bool is_met, const char* what) {
      if (is_met) return;
      throw bad_input(reader.where(key), what, json_of(c)[key].dump(),
                      "fused_backward_pass = true steps each parameter alone, as soon as its "
                      "gradient is known");
    };
    needs("max_grad_norm", c.max_grad_norm == 0, "0, as the norm is known too late to clip");
    needs("gradient_accumulation_steps", c.gradient_accumulation_steps == 1, "1");
    needs("replicas", c.replicas == 1, "1, whose gradients are whole");
  }
  if (c.offload_ema && c.device != "cpu") {
    throw bad_input(reader.where("offload_ema"), "false, or device = \"cpu\"", "true");
  }
  if (c.adversarial_weight > 0) {
    required("perceptual_weights (with adversarial_weight)", !c.perceptual_weights.empty());
    if (c.adversarial_start < c.discriminator_start) {
      throw bad_input(reader.where("adversarial_start"), "at least discriminator_start",
                      std::to_string(c.adversarial_start),
                      "a discriminator that has learnt nothing has nothing to say");
    }
  }
  validate_distillation(c, reader);
  if (c.min_timestep >= c.max_timestep) {
    throw bad_input(reader.where("min_timestep"), "less than max_timestep",
                    std::to_string(c.min_timestep));
  }
}

TrainConfig read(TomlReader& reader, TrainConfig start,
                 const std::vector<std::string>& assignments) {
  for (const std::string& assignment : assignments) reader.set(assignment);
  start.visit_fields(reader);
  reader.finish();
  validate(start, reader);
  return start;
}

enum class PathKind { kOutput, kInput, kModel };

// Every field that is a path, or a list of paths.
template <class Act>
void for_each_path(TrainConfig& c, const Act& act) {
  act("output_dir", c.output_dir, PathKind::kOutput);
  act("cache_dir", c.cache_dir, PathKind::kOutput);
  act("model_output", c.model_output, PathKind::kOutput);
  act(kPretrained, c.pretrained_model, PathKind::kModel);
  act("network_config", c.network_config, PathKind::kInput);
  act("model_dir", c.model_dir, PathKind::kInput);
  act("initial_weights", c.initial_weights, PathKind::kInput);
  act("perceptual_weights", c.perceptual_weights, PathKind::kInput);
  act("other_expert", c.other_expert, PathKind::kInput);
  act("image_encoder_config", c.image_encoder_config, PathKind::kInput);
  for (std::string& one : c.train_data_dir) act("train_data_dir", one, PathKind::kInput);
  for (std::string& one : c.reg_data_dir) act("reg_data_dir", one, PathKind::kInput);
  for (std::string& one : c.conditioning_data_dir) {
    act("conditioning_data_dir", one, PathKind::kInput);
  }
  for (std::string& one : c.mask_data_dir) act("mask_data_dir", one, PathKind::kInput);
  for (std::string& one : c.drawing) act("drawing", one, PathKind::kInput);
}

bool is_there(const fs::path& path) {
  std::error_code unreadable;
  return fs::exists(path, unreadable);
}

// A model may also be called by a name that the program knows, which is no path.
bool is_name(PathKind kind, const fs::path& path) {
  return kind == PathKind::kModel && !is_there(path);
}

// Writes what differs from the defaults in the order of the fields.
struct TomlWriter {
  json standard;
  std::string text;

  template <class T>
  void operator()(const char* key, T& field, const char*, Limits = {}) {
    const json value = field;
    // Text, numbers and lists are written in TOML as in JSON.
    if (value != standard[key]) text += std::string(key) + " = " + value.dump() + "\n";
  }
};

}  // namespace

bool changes_denoiser(const TrainConfig& config) {
  return config.network_module == "lora" && !config.network_train_text_encoder_only;
}

bool changes_text(const TrainConfig& config) {
  return config.network_module == "lora" &&
         (config.network_train_text_encoder_only || !config.network_train_unet_only);
}

TrainConfig TrainConfig::open(const std::string& path,
                              const std::vector<std::string>& assignments) {
  TomlReader reader = TomlReader::open(path);
  TrainConfig c = read(reader, {}, assignments);
  std::set<std::string> assigned;
  for (const std::string& one : assignments) {
    std::string key = one.substr(0, one.find('='));
    key.erase(std::remove(key.begin(), key.end(), ' '), key.end());
    assigned.insert(key);
  }
  const fs::path folder = fs::path(path).parent_path();
  for_each_path(c, [&](const char* key, std::string& field, PathKind kind) {
    if (field.empty() || assigned.contains(key) || io::is_url(field)) return;
    const fs::path found = (folder / field).lexically_normal();
    if (!is_name(kind, found)) field = found.string();
  });
  if (c.cache_dir.empty()) c.cache_dir = c.output_dir + "/cache";
  return c;
}

TrainConfig TrainConfig::with(const TrainConfig& start,
                              const std::vector<std::string>& assignments) {
  TomlReader reader("", "settings");
  TrainConfig c = read(reader, start, assignments);
  if (c.cache_dir.empty()) c.cache_dir = c.output_dir + "/cache";
  return c;
}

std::string TrainConfig::toml(const std::string& folder) const {
  TrainConfig c = *this;
  if (c.cache_dir == c.output_dir + "/cache") c.cache_dir.clear();
  const fs::path from = fs::absolute(folder.empty() ? "." : folder).lexically_normal();
  for_each_path(c, [&](const char*, std::string& field, PathKind kind) {
    if (field.empty() || io::is_url(field)) return;
    if (fs::path(field).is_absolute() || is_name(kind, field)) return;
    field = fs::absolute(field).lexically_normal().lexically_relative(from).string();
  });
  TomlWriter writer{json_of({}), ""};
  c.visit_fields(writer);
  return writer.text;
}

bool is_path_key(const std::string& key) {
  TrainConfig c;
  c.train_data_dir = c.reg_data_dir = c.conditioning_data_dir = c.mask_data_dir = c.drawing = {""};
  bool found = false;
  for_each_path(c, [&](const char* path, std::string&, PathKind) { found = found || key == path; });
  return found;
}

void require_inputs(const TrainConfig& config) {
  TrainConfig c = config;
  for_each_path(c, [](const char* key, const std::string& field, PathKind kind) {
    if (kind != PathKind::kInput || field.empty() || is_there(field)) return;
    // What a list holds is seen when it is opened.
    if (key == std::string("train_data_dir") && data::is_shard_list(field)) return;
    throw bad_input(key, "a file or folder that is there", "'" + field + "'",
                    "a path in a TOML file is taken from the folder of that file");
  });
}

}  // namespace pangu::train
