// Opens the files of a model: a folder in diffusers' layout, one LDM single file, PanGu-Draw 3's
// pair of MindSpore files, or parts that the caller names one by one. All become a Source:
// components by name, each with its tensors and, where the files have one, its configuration. No
// network is made here.
#pragma once
#include <functional>
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
  nlohmann::json config;     // null in a single file: it is then read off the shapes
  io::NamedTensors tensors;  // views of the mapped files; empty for a PixelSpace
  std::string folder;        // of a folder source: ".../unet"
  std::string origin;        // what errors call it

  // Keeps `tensors` mapped; null for a PixelSpace.
  std::shared_ptr<std::vector<io::WeightsFile>> files;
};

struct Source {
  std::string name;         // the name in pictures and messages
  std::string fingerprint;  // SHA-256 of the sizes and both ends of the files, 16 digits
  io::Recognised what;      // what the files were recognised as
  io::Training training;
  nlohmann::json index;              // model_index.json, or null
  nlohmann::json scheduler;          // scheduler_config.json, or null
  std::string prediction_type;       // over what the files say; empty: what they say
  std::string folder;                // of a folder source, else empty
  const FamilySpec* spec = nullptr;  // never null after open_source
  std::map<std::string, Component> components;

  bool has(const std::string& component) const { return components.count(component) > 0; }
  // Whether the source is one or several files of weights without a folder of configurations.
  bool is_single_file() const { return folder.empty() || index.is_null(); }
  // Error kBadInput naming the component that is missing, and the flag that gives one.
  const Component& need(const std::string& component) const;
};

// Opens a model: it reads headers and configurations, but no weights. Of `options` it takes the
// denoiser, the text encoders and the prediction type that replace the model's own. A file may be a
// denoiser alone: need_parts says what a model lacks. Throws kBadInput for a path that is no model,
// an adapter (a LoRA, a ControlNet, ...) in a model's place, missing tensors, one of PanGu-Draw 3's
// two files without the other, and, by its name, what is known but not supported.
Source open_source(const std::string& path, const LoadOptions& options = {});

// Throws kBadInput that names the first part that drawing needs and the model lacks. The
// autoencoder may come from elsewhere.
void need_parts(const Source& source, bool has_other_autoencoder = false);

// Opens the weights of a file or folder under the names that they have there, whatever they are of.
Component open_weights(const std::string& path);

// Opens one component (a ControlNet, a denoiser) in a file or folder of its own, or in one that
// holds others too, and writes what it is to `recognised` unless that is null. Throws kBadInput if
// there is no such part.
Component open_component(const std::string& path, io::Part part,
                         io::Recognised* recognised = nullptr);

// Opens an autoencoder, likewise: AutoencoderKL, or a tiny one (TAESD).
std::pair<Component, io::Recognised> open_autoencoder(const std::string& path);

// Returns what `read` returns for the component's configuration; its errors name the component.
template <class Read>
auto read_config(const Component& component, Read&& read) {
  try {
    return read(component.config);
  } catch (const Error& problem) {
    throw while_doing("reading the configuration of '" + component.origin + "'", problem);
  }
}

// Returns the tensors as views of the mapped files, which they keep alive; tensors that are stored
// transposed or with scales are copied.
nn::TensorMap tensors_of(const Component& component);
nn::TensorShapes shapes_of(const Component& component);

// Returns 16 hexadecimal digits that tell components apart by their tensors' names, shapes and
// first bytes, wherever the files are. With prefixes, only tensors whose names begin with one of
// them count.
std::string fingerprint_of(const Component& component,
                           const std::vector<std::string>& prefixes = {});

// Gives the memory pages of the tensors back to the system; the next access reads them from the
// file again.
void forget_pages(const Component& component);

// Does so for one tensor, if it is one of the component's as it is mapped: for tensors that have
// been copied and are not read again.
std::function<void(const at::Tensor&)> page_forgetter(const Component& component);

}  // namespace pangu::pipeline
