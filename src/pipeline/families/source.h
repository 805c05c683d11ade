// Where a model's weights come from: a folder in diffusers' layout, one LDM single file, PanGu-Draw
// 3's pair of MindSpore files, or parts that the caller names one by one; all as the same thing:
// components by name, each with its tensors and, where the source has one, its configuration. No
// network is made here.
#pragma once
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "io/families/families.h"
#include "io/ldm/ldm_names.h"
#include "io/weights_file.h"
#include "nn/weights.h"
#include "pipeline/load_options.h"

namespace pangu::pipeline {

struct FamilySpec;  // pipeline/families/spec.h

struct Component {
  nlohmann::json config;     // null in a single file: to be read off the shapes
  io::NamedTensors tensors;  // empty if the file is to be opened at first use (folders)
  std::string folder;        // of a folder source: ".../unet"; errors name it
  std::string origin;        // how errors call it

  std::shared_ptr<std::vector<io::WeightsFile>> files;  // keeps `tensors` mapped
};

struct Source {
  std::string name;  // for the picture's text and messages
  std::string fingerprint;
  io::Recognised what;
  io::Training training;
  nlohmann::json index;              // model_index.json, or null
  nlohmann::json scheduler;          // scheduler_config.json, or null
  std::string prediction_type;       // over what the files say; empty: what they say
  std::string folder;                // of a folder source, else empty
  const FamilySpec* spec = nullptr;  // never none of an opened source
  std::map<std::string, Component> components;

  bool has(const std::string& component) const { return components.count(component) > 0; }
  // One file of weights, or several, without a folder of configurations around them.
  bool is_single_file() const { return folder.empty() || index.is_null(); }
  // Error kBadInput naming the component that is missing, and the flag that gives one.
  const Component& need(const std::string& component) const;
};

// Opens headers and configurations, reads no weights. Of `options` it takes the denoiser, the text
// encoders and the prediction type that stand for the model's own. A file may be a denoiser alone:
// need_parts says what a model lacks. Error kBadInput for a path that is no model, an adapter (a
// LoRA, a ControlNet, ...) in a model's place, tensors that are missing, one of PanGu-Draw 3's two
// files without the other, and what is known and not supported, by its name.
Source open_source(const std::string& path, const LoadOptions& options = {});

// Error kBadInput naming the first part that drawing needs and the model lacks. The autoencoder may
// come from elsewhere.
void need_parts(const Source& source, bool has_other_autoencoder = false);

// Weights of a file or folder under the names that they have there, whatever they are of.
Component open_weights(const std::string& path);

// One component out of a file or folder of its own, or out of one that holds others too: a
// ControlNet, a denoiser. Error kBadInput if there is no such part.
Component open_component(const std::string& path, io::Part part,
                         io::Recognised* recognised = nullptr);

// An autoencoder, likewise: AutoencoderKL, or a tiny one (TAESD).
std::pair<Component, io::Recognised> open_autoencoder(const std::string& path);

// What `read` makes of the component's configuration; its errors name the component.
template <class Read>
auto read_config(const Component& component, Read&& read) {
  try {
    return read(component.config);
  } catch (const Error& problem) {
    throw while_doing("reading the configuration of '" + component.origin + "'", problem);
  }
}

// The tensors as views of the mapped files, which they keep alive.
nn::TensorMap tensors_of(const Component& component);
nn::TensorShapes shapes_of(const Component& component);

// Tells components apart by their tensors' names, types, shapes and first bytes, wherever they are
// kept; 16 hexadecimal digits. With prefixes: by the tensors that begin with one of them.
std::string fingerprint_of(const Component& component,
                           const std::vector<std::string>& prefixes = {});

// Gives the pages of the tensors back to the system; they come back from the file when next read.
void forget_pages(const Component& component);

}  // namespace pangu::pipeline
