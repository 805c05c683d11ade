#include "pipeline/families/source_parts.h"

#include <filesystem>
#include <utility>

#include "core/error.h"
#include "pipeline/families/spec.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;

// What a file or folder holds, by the names of components.
struct Opened {
  std::map<std::string, Component> parts;
  io::Recognised what;
};

// All parts, of which `wanted` (or every one, if it is empty) must be complete.
Opened open_parts(const std::string& path, const std::string& wanted) {
  if (fs::exists(fs::path(path) / "model_index.json")) {
    Source source = open_folder(path);
    return {std::move(source.components), std::move(source.what)};
  }
  const Component whole = open_weights(path);
  const io::TensorViews& views = whole.files->front().tensors();
  Opened opened;
  opened.what = io::recognise(views);
  refuse_unsupported(path, opened.what);
  io::Components found = io::complete_components_of(views, opened.what, path, wanted);
  for (auto& [name, tensors] : found.parts) {
    Component& part = opened.parts[name] = whole;
    part.tensors = std::move(tensors);
    if (found.parts.size() == 1) continue;
    part.config = nullptr;
    part.folder.clear();
    part.origin += ": " + name;
  }
  return opened;
}

const char* component_of(io::Part part) {
  switch (part) {
    case io::Part::kControlNet:
      return "controlnet";
    case io::Part::kVae:
    case io::Part::kTinyVae:
      return "vae";
    default:
      return "unet";
  }
}

std::pair<Component, io::Recognised> open_part(const std::string& path, io::Part part) {
  Opened opened = open_parts(path, component_of(part));
  const auto found = opened.parts.find(component_of(part));
  if (found == opened.parts.end()) {
    const std::string article = part == io::Part::kVae ? "an " : "a ";
    throw bad_input("'" + path + "'", article + io::name_of(part) + ", or a file that holds one",
                    opened.what.human_name);
  }
  return {std::move(found->second), std::move(opened.what)};
}

// Where a text encoder out of another file belongs. Of a family's two, one that stands alone is the
// second if it gives the pooled text that the network reads.
std::string encoder_slot(const Source& model, const std::string& name, const Component& encoder,
                         bool alone) {
  const auto& slots = model.spec->encoders;
  if (slots.empty()) {
    throw bad_input("--text-encoder", "a model that reads CLIP's", model.what.human_name);
  }
  if (slots.size() == 1) return slots.front().component;
  if (!alone) return name;
  const auto projection = encoder.tensors.find("text_projection.weight");
  const bool gives_pooled = projection != encoder.tensors.end() &&
                            (model.what.pooled_dim == 0 ||
                             io::shape_of(projection->second).front() == model.what.pooled_dim);
  return slots[gives_pooled ? 1 : 0].component;
}

void replace_unet(Source& source, const std::string& path) {
  if (source.has("unet_texture")) {
    throw bad_input("--unet", "a model of one denoiser", "two experts of '" + source.name + "'");
  }
  Opened opened = open_parts(path, "unet");
  if (!opened.parts.count("unet")) {
    throw bad_input("--unet '" + path + "'", "a file with a denoiser in it",
                    opened.what.human_name);
  }
  source.components["unet"] = std::move(opened.parts["unet"]);
  if (fs::is_directory(path)) return;  // its scheduler_config.json is the model's own
  const io::Training training =
      io::training_of_file(io::WeightsFile::open(path), path, opened.what);
  refuse_noise(path, training);
  if (source.scheduler.is_null() || training.is_said) source.training = training;
  if (training.is_said) {
    const bool v = training.prediction == io::Prediction::kV;
    source.prediction_type = v ? "v_prediction" : "epsilon";
  }
}

void replace_text_encoders(Source& source, const std::vector<std::string>& paths) {
  std::map<std::string, std::string> taken;  // component -> file
  for (const std::string& path : paths) {
    Opened opened = open_parts(path, "text_encoder");
    std::map<std::string, Component> encoders;
    for (auto& [name, part] : opened.parts) {
      if (name.starts_with("text_encoder")) encoders[name] = std::move(part);
    }
    if (encoders.empty()) {
      throw bad_input("--text-encoder '" + path + "'", "a file with a text encoder in it",
                      opened.what.human_name);
    }
    for (auto& [name, part] : encoders) {
      const std::string slot = encoder_slot(source, name, part, encoders.size() == 1);
      if (!taken.emplace(slot, path).second) {
        throw bad_input("--text-encoder", "one file for " + slot,
                        "'" + taken[slot] + "' and '" + path + "'");
      }
      source.components[slot] = std::move(part);
    }
  }
}

}  // namespace

void replace_parts(Source& source, const LoadOptions& options) {
  if (!options.unet.empty()) {
    replace_unet(source, options.unet);
    recognise_parts(source);
  }
  if (!options.text_encoders.empty()) {
    replace_text_encoders(source, options.text_encoders);
    recognise_parts(source);
  }
  if (!options.prediction_type.empty()) source.prediction_type = options.prediction_type;
}

Component open_component(const std::string& path, io::Part part, io::Recognised* recognised) {
  auto [component, what] = open_part(path, part);
  if (recognised) *recognised = what;
  return component;
}

std::pair<Component, io::Recognised> open_autoencoder(const std::string& path) {
  return open_part(path, io::Part::kVae);
}

}  // namespace pangu::pipeline
