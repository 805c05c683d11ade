// Plans what is written, then streams it: it opens one tensor, changes its type, appends it and
// frees it.
#include "pipeline/convert/convert.h"

#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/error.h"
#include "io/mapped_file.h"
#include "io/safetensors_writer.h"
#include "nn/text/clip_text.h"
#include "pipeline/convert/convert_files.h"
#include "pipeline/families/source.h"
#include "pipeline/families/spec.h"
#include "tensors/bytes.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double kMegabyte = 1e6;
constexpr size_t kMostSmallFile = size_t{64} << 20;

struct Target {
  io::DType dtype;
  const char* torch_name;
};

Target target_of(const std::string& name) {
  if (name == "bf16") return {io::DType::BF16, "bfloat16"};
  if (name == "f16") return {io::DType::F16, "float16"};
  if (name == "f32") return {io::DType::F32, "float32"};
  throw bad_input("dtype", "bf16, f16 or f32", "'" + name + "'");
}

bool is_floating(io::DType dtype) {
  switch (dtype) {
    case io::DType::F64:
    case io::DType::F32:
    case io::DType::F16:
    case io::DType::BF16:
    case io::DType::F8_E4M3:
    case io::DType::F8_E5M2:
      return true;
    default:
      return false;
  }
}

// A component as it will be written.
struct Part {
  std::string name;
  const Component* component = nullptr;
  std::map<std::string, io::NamedTensor> tensors;
  bool keeps_types = false;
  const std::map<std::string, at::Tensor>* trained = nullptr;  // in place of the tensors' numbers
};

bool is_text_encoder(const std::string& name) { return name.starts_with("text_encoder"); }

// Whether single files of the model's family keep a last layer of this text encoder that released
// folders do not have.
bool has_spare_layer(const Source& source, const std::string& component) {
  const auto& encoders = source.spec->encoders;
  return std::any_of(encoders.begin(), encoders.end(), [&](const ClipEncoderSpec& encoder) {
    return encoder.component == component && encoder.layer != encoder.layer_of_single_file;
  });
}

// Selects the tensors of a component to write. A single file's text encoder has more tensors than
// released folders: buffers, and in Stable Diffusion 2 a last layer and a projection that nothing
// reads.
Part part_of(const Source& source, const std::string& name, const Component& component) {
  Part part{name, &component, {}, false};
  const bool single = component.config.is_null();
  // Our own text encoders are packed, so their numbers must not be converted.
  part.keeps_types = !single && is_text_encoder(name) &&
                     component.config.value("model_type", std::string()) == "bert";
  if (!single || !is_text_encoder(name)) {
    part.tensors = component.tensors;
    return part;
  }
  for (const auto& [given, tensor] : component.tensors) {
    const std::string ours = nn::clip_text_tensor_name(given);
    if (!ours.empty()) part.tensors[ours] = tensor;
  }
  if (name == "text_encoder") part.tensors.erase("text_projection.weight");
  if (has_spare_layer(source, name)) {
    const auto layer = [](int64_t number) {
      return "text_model.encoder.layers." + std::to_string(number) + ".";
    };
    const auto has = [&](const std::string& prefix) {
      const auto found = part.tensors.lower_bound(prefix);
      return found != part.tensors.end() && found->first.starts_with(prefix);
    };
    int64_t last = 0;
    while (has(layer(last + 1))) ++last;
    std::erase_if(part.tensors,
                  [&](const auto& item) { return item.first.starts_with(layer(last)); });
  }
  return part;
}

std::vector<Part> parts_of(const Source& source, const ConvertOptions& options) {
  std::vector<Part> parts;
  for (const auto& [name, component] : source.components) {
    Part& part = parts.emplace_back(part_of(source, name, component));
    if (options.trained.empty()) continue;
    const auto trained = options.trained.find(name);
    part.keeps_types = trained == options.trained.end();
    if (!part.keeps_types) part.trained = &trained->second;
  }
  return parts;
}

io::TensorPlan plan_of(const Part& part, const std::string& name, const Target& target) {
  const io::NamedTensor& tensor = part.tensors.at(name);
  const bool changes = is_floating(tensor.view.dtype) && !part.keeps_types;
  const io::DType kept = tensor.view.scales.empty() ? tensor.view.dtype : io::DType::F32;
  return {name, changes ? target.dtype : kept, io::shape_of(tensor)};
}

at::Tensor tensor_of(const Part& part, const std::string& name) {
  if (part.trained) return part.trained->at(name).cpu();
  Component one;
  one.tensors[name] = part.tensors.at(name);
  one.files = part.component->files;
  return tensors_of(one).at(name);
}

// Reads one tensor and converts it to the type in which it is written.
at::Tensor read_tensor(const Part& part, const std::string& name, const Target& target) {
  const io::NamedTensor& named = part.tensors.at(name);
  const at::Tensor given = tensor_of(part, name);
  if (!is_floating(named.view.dtype) || part.keeps_types) return given.contiguous();
  const at::Tensor changed = given.to(tensors::scalar_type_of(target.dtype, name)).contiguous();
  if (target.dtype == io::DType::F16 && named.view.dtype != io::DType::F16 &&
      !changed.isfinite().all().item<bool>() &&
      given.to(at::kFloat).isfinite().all().item<bool>()) {
    throw bad_input("tensor '" + name + "' of " + part.component->origin, "numbers up to 65504",
                    "a greater one, which f16 cannot hold", "bf16 can");
  }
  return changed;
}

// Reports how much of all components is done.
struct Meter {
  const OnProgress& on_progress;
  uint64_t done = 0, total = 0;

  void add(uint64_t bytes, const std::string& text) {
    done += bytes;
    if (!on_progress) return;
    Progress progress;
    progress.done = static_cast<int64_t>(static_cast<double>(done) / kMegabyte);
    progress.total =
        std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(total) / kMegabyte));
    progress.unit = "MB";
    progress.text = text;
    on_progress(progress);
  }
};

void write_weights(const Part& part, const fs::path& folder, const Target& target, Meter& meter) {
  const bool diffusers = !is_text_encoder(part.name) && part.name != "image_encoder";
  std::vector<io::TensorPlan> plan;
  for (const auto& [name, tensor] : part.tensors) plan.push_back(plan_of(part, name, target));
  const fs::path path =
      folder / (diffusers ? "diffusion_pytorch_model.safetensors" : "model.safetensors");
  io::SafetensorsWriter writer(path.string(), plan, {{"format", "pt"}});
  for (const std::string& name : writer.order()) {
    const at::Tensor tensor = read_tensor(part, name, target);
    const io::TensorView bytes = tensors::bytes_of(tensor, name);
    writer.add(name, {bytes.data, bytes.size_bytes});
    const io::TensorView& view = part.tensors.at(name).view;
    io::forget_pages({view.data, view.size_bytes});
    meter.add(tensor.nbytes(), part.name);
  }
  writer.commit();
}

void write_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  io::write_file_atomic(path.string(), text);
}

void write_json(const fs::path& path, const json& keys) { write_text(path, keys.dump(2) + "\n"); }

// torch's name of the type in which most of a part is written.
const char* torch_type_of(const Part& part, const Target& target) {
  if (!part.keeps_types) return target.torch_name;
  for (const auto& [name, tensor] : part.tensors) {
    if (tensor.view.dtype == io::DType::F16) return "float16";
    if (tensor.view.dtype == io::DType::BF16) return "bfloat16";
  }
  return "float32";
}

json config_for(const Source& source, const Part& part, const Target& target) {
  if (part.component->config.is_null()) {
    nn::TensorShapes shapes;
    for (const auto& [name, tensor] : part.tensors) shapes[name] = io::shape_of(tensor);
    return config_of(source, part.name, shapes, torch_type_of(part, target));
  }
  json config = part.component->config;
  for (const char* key : {"torch_dtype", "dtype"}) {
    if (config.contains(key) && !part.keeps_types) config[key] = target.torch_name;
  }
  return config;
}

// Returns the files of a folder that are no weights: tokenizers, schedules and others.
std::map<std::string, std::string> small_files_of(const Source& source) {
  static const std::set<std::string> kTexts = {".json", ".txt", ".model"};
  std::map<std::string, std::string> files;
  for (const auto& folder : fs::directory_iterator(source.folder)) {
    const std::string name = folder.path().filename().string();
    if (!folder.is_directory() || source.has(name) || name == "safety_checker") continue;
    for (const auto& file : fs::directory_iterator(folder.path())) {
      const std::string path = file.path().string();
      if (!file.is_regular_file() || !kTexts.count(file.path().extension().string())) continue;
      if (path.ends_with(".index.json") || file.file_size() > kMostSmallFile) continue;
      files[name + "/" + file.path().filename().string()] = io::read_text_file(path);
    }
  }
  return files;
}

// Returns the index of a folder without the components that are not written.
json kept_index(const Source& source, const std::map<std::string, std::string>& files) {
  std::set<std::string> written;
  for (const auto& [path, text] : files) written.insert(path.substr(0, path.find('/')));
  json index = source.index;
  for (auto& [key, value] : index.items()) {
    const bool component = value.is_array() && value.size() == 2 && value[0].is_string();
    if (component && value[1].is_string() && !source.has(key) && !written.count(key)) {
      value = json::array({nullptr, nullptr});
      if (key == "safety_checker") index["requires_safety_checker"] = false;
    }
  }
  return index;
}

void prepare_folder(const std::string& source, const fs::path& out, bool overwrite) {
  std::error_code ignored;
  if (fs::equivalent(source, out, ignored)) {
    throw bad_input("folder to write", "another than the model itself", "'" + out.string() + "'");
  }
  if (fs::exists(out) && !fs::is_directory(out)) {
    throw bad_input("folder to write", "a folder", "the file '" + out.string() + "'");
  }
  if (fs::exists(out) && !fs::is_empty(out)) {
    if (!overwrite) {
      throw bad_input("folder to write", "a new or empty one", "'" + out.string() + "'",
                      "--force removes the model that is in it");
    }
    fs::remove(out / "model_index.json");
    for (const char* old :
         {"unet", "unet_texture", "vae", "text_encoder", "text_encoder_2", "image_encoder",
          "tokenizer", "tokenizer_2", "scheduler", "feature_extractor", "safety_checker"}) {
      fs::remove_all(out / old);
    }
  }
  fs::create_directories(out);
}

void check_family(const Source& source) {
  const io::Recognised& what = source.what;
  if (!source.folder.empty()) return;
  const std::string name = pipeline_class_of(source);
  if (what.latent_channels > 0 && what.in_channels != what.latent_channels && !what.inpaint) {
    throw bad_input("model '" + source.name + "'", "a family that this program draws with",
                    what.human_name);
  }
}

Converted convert(const std::string& path, const fs::path& out, const ConvertOptions& options,
                  const OnProgress& on_progress) {
  const Target target = target_of(options.dtype);
  const Source source = open_source(path, options.load);
  need_parts(source);
  check_family(source);
  const bool folder = !source.folder.empty();
  const std::vector<Part> parts = parts_of(source, options);

  // Everything but a number that f16 cannot hold is refused before the first byte is written.
  std::map<std::string, std::string> files =
      folder ? small_files_of(source) : reading_files_of(source, options.tokenizers);
  if (!folder)
    files["scheduler/scheduler_config.json"] = scheduler_config_of(source).dump(2) + "\n";
  json index = folder ? kept_index(source, files) : index_of(source);
  if (options.change_index) options.change_index(index);
  std::map<std::string, json> configs;
  Meter meter{on_progress};
  Converted done{source.what.human_name, index.value("_class_name", std::string()), {}, 0};
  for (const Part& part : parts) {
    configs[part.name] = config_for(source, part, target);
    for (const auto& [name, tensor] : part.tensors) {
      meter.total += io::size_bytes_of(plan_of(part, name, target));
    }
    done.components.push_back(part.name);
  }
  prepare_folder(path, out, options.overwrite);

  for (const auto& [name, text] : files) write_text(out / name, text);
  for (const Part& part : parts) {
    write_json(out / part.name / "config.json", configs[part.name]);
    write_weights(part, out / part.name, target, meter);
  }
  write_json(out / "model_index.json", index);
  done.size_bytes = meter.total;
  return done;
}

}  // namespace

Converted convert_model(const std::string& source, const std::string& out,
                        const ConvertOptions& options, const OnProgress& on_progress) {
  const at::NoGradGuard no_grad;
  try {
    return convert(source, out, options, on_progress);
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorCode::kIo, std::string("converting: ") + error.what());
  }
}

}  // namespace pangu::pipeline
