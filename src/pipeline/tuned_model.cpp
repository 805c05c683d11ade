#include "pipeline/tuned_model.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/folder_turn.h"
#include "io/json_file.h"
#include "nn/unet/unet_from_shapes.h"
#include "pipeline/convert/convert.h"
#include "pipeline/convert/convert_single_file.h"
#include "pipeline/families/spec.h"
#include "pipeline/network_folder.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kTunedIndex = "model_index.json";
constexpr const char *kFirst = "unet", *kSecond = "unet_texture";
constexpr const char *kMeeting = "expert_boundary", *kHalfRange = "trained_timesteps";

// What a folder holds already.
struct Found {
  json index;
  std::vector<TrainedExpert> experts;
};

std::optional<Found> model_in(const fs::path& folder, int64_t train_timesteps) {
  if (!fs::exists(folder / kTunedIndex)) return std::nullopt;
  return Found{io::read_json_file((folder / kTunedIndex).string()),
               trained_experts(folder.string(), train_timesteps, "model")};
}

std::string range_of(const TrainedExpert& expert) {
  return std::to_string(expert.min_timestep) + " to " + std::to_string(expert.max_timestep);
}

bool is_same_range(const TrainedExpert& a, const TrainedExpert& b) {
  return a.min_timestep == b.min_timestep && a.max_timestep == b.max_timestep;
}

bool meets(const TrainedExpert& half, const TrainedExpert& other, int64_t train_timesteps) {
  const TrainedExpert& high = half.min_timestep > other.min_timestep ? half : other;
  const TrainedExpert& low = half.min_timestep > other.min_timestep ? other : half;
  return low.min_timestep == 0 && high.max_timestep == train_timesteps &&
         low.max_timestep == high.min_timestep;
}

bool is_texture(const TrainedExpert& half) { return half.min_timestep == 0; }

// ConvertOptions::dtype
std::string convert_type_of(const std::string& save_precision) {
  return save_precision == "fp16" ? "f16" : save_precision == "float" ? "f32" : save_precision;
}

// The network's config.json: the base's own, or read off the shapes.
json network_config_of(const FrozenBase& base, const TrainedExpert& expert, const fs::path& like) {
  // What the whole model was written with serves for its other expert.
  if (fs::exists(like / "config.json")) return io::read_json_file((like / "config.json").string());
  const Component& component = base.source->need(expert.component);
  return component.config.is_null() ? nn::to_json(nn::unet_config_from_shapes(shapes_of(component)))
                                    : component.config;
}

void rename_folder(const fs::path& from, const fs::path& to) {
  std::error_code failed;
  fs::remove_all(to, failed);
  fs::rename(from, to, failed);
  if (failed)
    throw io_error("cannot rename '" + from.string() + "' to", to.string(), failed.value());
}

void write_index(const fs::path& folder, const json& index) {
  io::write_file_atomic((folder / kTunedIndex).string(), index.dump(2) + "\n");
}

// An inpainting model that comes of a model that draws from text is opened by another pipeline of
// diffusers.
void name_inpainting(const FolderSpec& folder, json& index_) {
  if (index_.value("_class_name", std::string()) != folder.pipeline) return;
  index_["_class_name"] = folder.inpaint_pipeline;
  if (folder.inpaint_index_keys.is_object()) index_.update(folder.inpaint_index_keys);
}

// The half joins the other one, or takes the place of what was trained of it before.
void write_half(const fs::path& out, Found found, const FrozenBase& base,
                const TunedModelPlan& plan, const std::map<std::string, at::Tensor>& weights) {
  const json config = network_config_of(base, plan.expert, out / kFirst);
  const auto put = [&](const fs::path& folder) {
    write_network_folder(folder.string(), config, weights, save_type_from(plan.save_precision));
  };
  const bool has_both = found.experts.size() > 1;
  if (!has_both && is_same_range(found.experts.front(), plan.expert)) return put(out / kFirst);
  const char* place = is_texture(plan.expert) ? kSecond : kFirst;
  if (has_both) return put(out / place);
  // The other half was trained alone, and is the first network.
  const fs::path fresh = out / ("new_" + std::string(place));
  put(fresh);
  std::error_code gone;
  fs::remove(out / kTunedIndex, gone);  // what is half written is no model
  if (!is_texture(plan.expert)) rename_folder(out / kFirst, out / kSecond);
  rename_folder(fresh, out / place);
  found.index[kSecond] = found.index[kFirst];
  found.index[kMeeting] =
      is_texture(plan.expert) ? plan.expert.max_timestep : plan.expert.min_timestep;
  found.index.erase(kHalfRange);
  write_index(out, found.index);
}

}  // namespace

TrainedExpert half_expert(const std::string& name, int64_t boundary, int64_t train_timesteps) {
  if (boundary <= 0 || boundary >= train_timesteps) {
    throw bad_input(name == "texture" ? "max_timestep" : "min_timestep",
                    "a timestep between 0 and " + std::to_string(train_timesteps),
                    std::to_string(boundary));
  }
  if (name == "texture") return {name, kFirst, 0, boundary};
  return {name, kFirst, boundary, train_timesteps};
}

void check_tuned_model(const std::string& out, const FrozenBase& base, const TunedModelPlan& plan) {
  save_type_from(plan.save_precision);
  if (is_single_file_name(out)) {
    if (plan.is_half) {
      throw bad_input("model to write", "a folder, which can hold both halves of the timesteps",
                      "the single file '" + out + "'");
    }
    return check_single_file(*base.source);
  }
  const auto found = model_in(out, plan.train_timesteps);
  if (!found) return;
  std::string ranges;
  for (const TrainedExpert& one : found->experts) {
    if (is_same_range(one, plan.expert)) return;
    ranges += (ranges.empty() ? "" : ", ") + range_of(one);
  }
  if (plan.is_half && found->experts.size() == 1 &&
      meets(plan.expert, found->experts.front(), plan.train_timesteps)) {
    return;
  }
  throw bad_input("expert '" + plan.expert.name + "', timesteps " + range_of(plan.expert),
                  "a range that meets the other expert's in '" + out + "'", ranges,
                  "min_timestep of the structure expert is max_timestep of the texture expert");
}

void write_tuned_model(const std::string& out, const FrozenBase& base, const TunedModelPlan& plan,
                       const std::map<std::string, at::Tensor>& weights) {
  // The training of the other half may end at the same time.
  std::optional<io::FolderTurn> turn;
  if (!is_single_file_name(out)) turn.emplace(out);
  check_tuned_model(out, base, plan);
  auto found = is_single_file_name(out) ? std::nullopt : model_in(out, plan.train_timesteps);
  if (found && plan.is_half) return write_half(out, *std::move(found), base, plan, weights);
  if (found) {
    const fs::path place = fs::path(out) / plan.expert.component;
    write_network_folder(place.string(), network_config_of(base, plan.expert, place), weights,
                         save_type_from(plan.save_precision));
    return;
  }
  ConvertOptions options;
  options.dtype = convert_type_of(plan.save_precision);
  options.overwrite = true;
  options.tokenizers = base.options.tokenizers;
  options.load = base.options;
  options.trained[plan.expert.component] = weights;
  options.change_index = [&plan, &base](json& index) {
    if (base.model.denoising.extra_channels > 0) name_inpainting(base.source->spec->folder, index);
    // A folder that the network was not in does not name it.
    if (!index.contains(kFirst) || index[kFirst] == json({nullptr, nullptr})) {
      index[kFirst] = {"diffusers", "UNet2DConditionModel"};
    }
    index.erase(kHalfRange);
    if (!plan.is_half) return;
    index.erase(kMeeting);
    index.erase(kSecond);
    index[kHalfRange] = {plan.expert.min_timestep, plan.expert.max_timestep};
  };
  convert_model(base.path, out, options);
}

}  // namespace pangu::pipeline
