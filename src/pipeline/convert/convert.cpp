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
#include "pipeline/convert/convert_parts.h"
#include "pipeline/convert/convert_single_file.h"
#include "pipeline/families/source.h"
#include "pipeline/families/spec.h"
#include "tensors/bytes.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kMostSmallFile = size_t{64} << 20;

// Selects the tensors that a folder has. A single file's text encoder has more: buffers, and in
// Stable Diffusion 2 a last layer and a projection that nothing reads.
void leave_out_spare(const Source& source, WrittenPart& part_) {
  if (!part_.component->config.is_null() || !is_text_encoder(part_.name)) return;
  io::NamedTensors kept;
  for (const auto& [given, tensor] : part_.tensors) {
    const std::string ours = nn::clip_text_tensor_name(given);
    if (!ours.empty()) kept[ours] = tensor;
  }
  if (part_.name == "text_encoder") kept.erase("text_projection.weight");
  if (has_spare_layer(source, part_.name)) {
    const std::string last = text_layer_prefix(std::max<int64_t>(0, text_layers_of(kept) - 1));
    std::erase_if(kept, [&](const auto& item) { return item.first.starts_with(last); });
  }
  part_.tensors = std::move(kept);
}

io::TensorPlan plan_of(const WrittenPart& part, const std::string& name, const WrittenType& type) {
  return {name, written_dtype_of(part, name, type), io::shape_of(part.tensors.at(name))};
}

void write_weights(const WrittenPart& part, const fs::path& folder, const WrittenType& type,
                   WritingMeter& meter) {
  const bool diffusers = !is_text_encoder(part.name) && part.name != "image_encoder";
  std::vector<io::TensorPlan> plan;
  for (const auto& [name, tensor] : part.tensors) plan.push_back(plan_of(part, name, type));
  const fs::path path =
      folder / (diffusers ? "diffusion_pytorch_model.safetensors" : "model.safetensors");
  io::SafetensorsWriter writer(path.string(), plan, {{"format", "pt"}});
  for (const std::string& name : writer.order()) {
    const at::Tensor tensor = written_tensor_of(part, name, type);
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
const char* torch_type_of(const WrittenPart& part, const WrittenType& type) {
  if (!part.keeps_types) return type.torch_name;
  for (const auto& [name, tensor] : part.tensors) {
    if (tensor.view.dtype == io::DType::F16) return "float16";
    if (tensor.view.dtype == io::DType::BF16) return "bfloat16";
  }
  return "float32";
}

json config_for(const Source& source, const WrittenPart& part, const WrittenType& type) {
  if (part.component->config.is_null()) {
    nn::TensorShapes shapes;
    for (const auto& [name, tensor] : part.tensors) shapes[name] = io::shape_of(tensor);
    return config_of(source, part.name, shapes, torch_type_of(part, type));
  }
  json config = part.component->config;
  for (const char* key : {"torch_dtype", "dtype"}) {
    if (config.contains(key) && !part.keeps_types) config[key] = type.torch_name;
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
  const WrittenType type = written_type_from(options.dtype);
  const Source source = open_source(path, options.load);
  need_parts(source);
  if (is_single_file_name(out.string())) {
    return convert_to_single_file(source, path, out, options, on_progress);
  }
  check_family(source);
  const bool folder = !source.folder.empty();
  std::vector<WrittenPart> parts = written_parts_of(source, options);
  for (WrittenPart& part : parts) leave_out_spare(source, part);

  // Everything but a number that f16 cannot hold is refused before the first byte is written.
  std::map<std::string, std::string> files =
      folder ? small_files_of(source) : reading_files_of(source, options.tokenizers);
  if (!folder)
    files["scheduler/scheduler_config.json"] = scheduler_config_of(source).dump(2) + "\n";
  json index = folder ? kept_index(source, files) : index_of(source);
  if (options.change_index) options.change_index(index);
  std::map<std::string, json> configs;
  WritingMeter meter{on_progress};
  Converted done{source.what.human_name, index.value("_class_name", std::string()), {}, 0};
  for (const WrittenPart& part : parts) {
    configs[part.name] = config_for(source, part, type);
    for (const auto& [name, tensor] : part.tensors) {
      meter.total += io::size_bytes_of(plan_of(part, name, type));
    }
    done.components.push_back(part.name);
  }
  prepare_folder(path, out, options.overwrite);

  for (const auto& [name, text] : files) write_text(out / name, text);
  for (const WrittenPart& part : parts) {
    write_json(out / part.name / "config.json", configs[part.name]);
    write_weights(part, out / part.name, type, meter);
  }
  write_json(out / "model_index.json", index);
  done.size_bytes = meter.total;
  return done;
}

}  // namespace

bool is_single_file_name(const std::string& path) { return path.ends_with(".safetensors"); }

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
