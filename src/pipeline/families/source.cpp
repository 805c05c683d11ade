#include "pipeline/families/source.h"

#include <torch/types.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <span>

#include "core/error.h"
#include "core/hash.h"
#include "io/json_file.h"
#include "io/mapped_file.h"
#include "nn/autoencoder/pixel_space.h"
#include "pipeline/families/source_parts.h"
#include "pipeline/families/spec.h"
#include "tensors/bytes.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr size_t kFileSampleBytes = size_t{64} << 10;
constexpr size_t kTensorSampleBytes = 64;
constexpr size_t kSourceDigits = 16;
constexpr const char* kPanguPair =
    "PanGu-Draw 3's two .ckpt, one with 'low' and one with 'high' in its name";
constexpr const char* kParts[] = {"unet",         "unet_texture",   "vae",
                                  "text_encoder", "text_encoder_2", "image_encoder"};

std::string name_of_path(const fs::path& path) {
  const fs::path last = path.filename().empty() ? path.parent_path() : path;
  return fs::is_directory(path) ? last.filename().string() : last.stem().string();
}

// SHA-256 over sizes and both ends of the files: tells trainings apart in a millisecond, proves
// nothing about files that someone has doctored.
std::string fingerprint_of_paths(const std::vector<std::string>& paths) {
  Sha256 hash;
  for (const std::string& path : paths) {
    const io::MappedFile file(path);
    const auto bytes = file.bytes();
    const size_t sample = std::min(bytes.size(), kFileSampleBytes);
    hash.update(std::to_string(bytes.size()) + "\n");
    hash.update(bytes.first(sample)).update(bytes.last(sample));
  }
  return hex_of(hash.digest()).substr(0, kSourceDigits);
}

nlohmann::json json_or_null(const fs::path& path) {
  return fs::is_regular_file(path) ? io::open_json_file(path.string()).json() : nlohmann::json();
}

// The config.json beside weights: of a folder, or of the file that such a folder's weights are in.
nlohmann::json config_beside(const std::string& path) {
  if (fs::is_directory(path)) return json_or_null(fs::path(path) / "config.json");
  const fs::path config = fs::path(path).parent_path() / "config.json";
  const std::string stem = fs::path(path).stem().string();
  const bool is_component = stem.starts_with("diffusion_pytorch_model") || stem == "model";
  return is_component ? json_or_null(config) : nlohmann::json();
}

}  // namespace

Component open_weights(const std::string& path) {
  Component part;
  part.origin = path;
  part.files = std::make_shared<std::vector<io::WeightsFile>>();
  part.files->push_back(io::WeightsFile::open(path));
  for (const auto& [name, view] : part.files->front().tensors()) part.tensors[name] = {view, false};
  if (fs::is_directory(path)) part.folder = path;
  part.config = config_beside(path);
  return part;
}

namespace {

Component component_in(const fs::path& folder) {
  // Which a component of a model must have.
  const nlohmann::json config = io::open_json_file((folder / "config.json").string()).json();
  if (nn::PixelSpace::is_config(config)) return {config, {}, folder.string(), folder.string(), {}};
  Component part = open_weights(folder.string());
  // Folders from before diffusers 0.15 name an autoencoder's attention otherwise.
  const io::TensorViews& views = part.files->front().tensors();
  const io::Recognised what = io::recognise(views);
  if (what.part == io::Part::kVae) part.tensors = io::components_of(views, what).parts.at("vae");
  return part;
}

}  // namespace

void refuse_unsupported(const std::string& path, const io::Recognised& what) {
  if (what.unsupported.empty()) return;
  throw bad_input("'" + path + "'", "what this program draws with", what.unsupported);
}

void refuse_noise(const std::string& path, const io::Training& training) {
  if (training.unsupported.empty()) return;
  throw bad_input("model '" + path + "'", "a network that predicts eps or v of a DDPM's noise",
                  "a marker tensor " + training.unsupported);
}

void recognise_parts(Source& source) {
  std::map<std::string, io::TensorViews> views;
  for (const auto& [name, part] : source.components) {
    for (const auto& [tensor, named] : part.tensors) {
      io::TensorView view = named.view;
      view.shape = io::shape_of(named);
      views[name].emplace(tensor, std::move(view));
    }
  }
  const io::Layout layout = source.what.layout;
  source.what = io::recognise_components(views);
  if (layout != io::Layout::kUnknown) source.what.layout = layout;
  source.spec = &spec_of(source.what, source.index);
  source.what.family = source.spec->family;  // model_index.json may know better
  if (!source.spec->human_name.empty()) source.what.human_name = source.spec->human_name;
}

Source open_folder(const std::string& path) {
  Source source;
  source.folder = path;
  source.name = name_of_path(path);
  source.index = io::open_json_file((fs::path(path) / "model_index.json").string()).json();
  source.scheduler = json_or_null(fs::path(path) / "scheduler/scheduler_config.json");
  std::vector<std::string> paths;
  for (const char* part : kParts) {
    const fs::path folder = fs::path(path) / part;
    if (!fs::is_directory(folder)) continue;
    // Folders that other programs leave beside a model, as of IP-Adapter, are none of its parts.
    if (!source.index.contains(part) && !fs::exists(folder / "config.json")) continue;
    const Component& made = source.components[part] = component_in(folder);
    if (!made.files) continue;  // pixels need no weights
    for (const std::string& file : made.files->front().paths()) paths.push_back(file);
  }
  recognise_parts(source);
  source.fingerprint = fingerprint_of_paths(paths);
  return source;
}

namespace {

// Of a pair of files both hold all parts, of which only the low one's count, but for the high one's
// UNet.
void add_structure(Source& source, const std::string& path) {
  auto files = std::make_shared<std::vector<io::WeightsFile>>();
  files->push_back(io::WeightsFile::open(path));
  const io::Recognised what = io::recognise(files->front().tensors());
  if (what.family != source.what.family || !source.spec->released_as_pair) {
    throw bad_input("'" + path + "'", "PanGu-Draw 3's structure generator", what.human_name);
  }
  io::Components parts = io::complete_components_of(files->front().tensors(), what, path);
  Component texture = source.need("unet");
  source.components["unet_texture"] = std::move(texture);
  Component& structure = source.components["unet"];
  structure = {};
  structure.origin = path;
  structure.tensors = std::move(parts.parts["unet"]);
  structure.files = std::move(files);
}

Source open_single(const std::string& path) {
  Source source;
  source.name = name_of_path(path);
  auto files = std::make_shared<std::vector<io::WeightsFile>>();
  files->push_back(io::WeightsFile::open(path));
  const io::WeightsFile& file = files->front();
  source.what = io::recognise(file.tensors());
  refuse_unsupported(path, source.what);
  if (source.what.part != io::Part::kCheckpoint && source.what.part != io::Part::kUnet) {
    throw bad_input("model '" + path + "'", "a whole model: denoiser, autoencoder, text encoder",
                    source.what.human_name,
                    "a LoRA is --lora, a ControlNet --controlnet, an autoencoder --vae");
  }
  source.training = io::training_of_file(file, path, source.what);
  refuse_noise(path, source.training);
  source.spec = &spec_of(source.what, source.index);
  source.fingerprint = fingerprint_of_paths(file.paths());
  io::Components parts = io::complete_components_of(file.tensors(), source.what, path);
  for (auto& [name, tensors] : parts.parts) {
    Component& component = source.components[name];
    component.origin = path + ": " + name;
    component.tensors = std::move(tensors);
    component.files = files;
  }
  return source;
}

// "pangu_low_timestamp-127da122.ckpt" and "pangu_high_...": the two files are alike in all but
// their weights, so the names that they were released under tell which is which.
std::optional<Source> open_pair(const std::string& folder) {
  std::vector<std::string> low, high;
  std::string found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".ckpt") continue;
    found += (found.empty() ? "" : ", ") + name;
    if (name.find("low") != std::string::npos) low.push_back(entry.path().string());
    if (name.find("high") != std::string::npos) high.push_back(entry.path().string());
  }
  if (found.empty()) return std::nullopt;
  if (low.size() != 1 || high.size() != 1 || low == high) {
    throw bad_input("'" + folder + "'", std::string("a model_index.json, or ") + kPanguPair, found);
  }
  Source source = open_single(low.front());
  add_structure(source, high.front());
  source.name = name_of_path(folder);
  source.fingerprint = fingerprint_of_paths({low.front(), high.front()});
  return source;
}

Source open_as_it_is(const std::string& path) {
  if (fs::is_directory(path)) {
    if (!fs::exists(fs::path(path) / "model_index.json")) {
      if (auto pair = open_pair(path)) return *std::move(pair);
    }
    return open_folder(path);
  }
  if (!fs::exists(path)) {
    throw bad_input("model", "a folder or a .safetensors file",
                    "'" + path + "', which is not there");
  }
  Source source = open_single(path);
  if (source.spec->released_as_pair) {
    throw bad_input("model '" + path + "'", std::string("the folder of ") + kPanguPair,
                    "one of them, which draws one half of the steps",
                    "`pangu-draw convert FOLDER OUT` makes one model of the two");
  }
  return source;
}

// The flag that gives a part from another file.
std::string flag_of(const std::string& component) {
  if (component == "image_encoder") return "";
  return component == "vae"                      ? "--vae"
         : component.starts_with("text_encoder") ? "--text-encoder"
         : component == "unet"                   ? "--unet"
                                                 : "";
}

}  // namespace

const Component& Source::need(const std::string& component) const {
  const auto found = components.find(component);
  if (found == components.end()) {
    const std::string flag = flag_of(component);
    throw bad_input("model '" + name + "'", "the component " + component, "none",
                    flag.empty() ? ""
                                 : flag +
                                       " FILE gives one: a file of it alone, or any checkpoint "
                                       "that holds one");
  }
  return found->second;
}

Source open_source(const std::string& path, const LoadOptions& options) {
  Source source = open_as_it_is(path);
  replace_parts(source, options);
  return source;
}

void need_parts(const Source& source, bool has_other_autoencoder) {
  source.need("unet");
  if (!has_other_autoencoder) source.need("vae");
  for (const ClipEncoderSpec& encoder : source.spec->encoders) source.need(encoder.component);
  if (source.spec->quirks.reads_picture) source.need("image_encoder");
}

nn::TensorMap tensors_of(const Component& component) {
  nn::TensorMap tensors;
  for (const auto& [name, named] : component.tensors) {
    const at::Tensor tensor = tensors::shared(named.view, component.files, name);
    // In the layout of every other weight: products are then summed in the same order.
    tensors[name] = named.transpose ? tensor.t().contiguous() : tensor;
  }
  return tensors;
}

nn::TensorShapes shapes_of(const Component& component) {
  nn::TensorShapes shapes;
  for (const auto& [name, named] : component.tensors) shapes[name] = io::shape_of(named);
  return shapes;
}

std::string fingerprint_of(const Component& component, const std::vector<std::string>& prefixes) {
  Sha256 hash;
  for (const auto& [name, named] : component.tensors) {
    const auto begins = [&name = name](const std::string& p) { return name.starts_with(p); };
    if (!prefixes.empty() && std::none_of(prefixes.begin(), prefixes.end(), begins)) continue;
    hash.update(name);
    for (const int64_t size : named.view.shape) hash.update(" " + std::to_string(size));
    hash.update(std::span(named.view.data, std::min(named.view.size_bytes, kTensorSampleBytes)));
  }
  return hex_of(hash.digest()).substr(0, kSourceDigits);
}

void forget_pages(const Component& component) {
  for (const auto& [name, named] : component.tensors) {
    io::forget_pages({named.view.data, named.view.size_bytes});
  }
}

std::function<void(const at::Tensor&)> page_forgetter(const Component& component) {
  std::map<const void*, std::span<const std::byte>> mapped;
  for (const auto& [name, named] : component.tensors) {
    mapped[named.view.data] = {named.view.data, named.view.size_bytes};
  }
  return [mapped = std::move(mapped)](const at::Tensor& tensor) {
    const auto found = mapped.find(tensor.const_data_ptr());
    if (found != mapped.end()) io::forget_pages(found->second);
  };
}

}  // namespace pangu::pipeline
