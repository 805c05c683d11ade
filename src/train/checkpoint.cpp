#include "train/checkpoint.h"

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <vector>

#include "core/error.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "tensors/bytes.h"
#include "tensors/safetensors.h"

namespace pangu::train {
namespace {

constexpr const char* kFingerprint = "fingerprint";
constexpr const char* kCpuSeconds = "cpu_seconds";

std::string metadata_of(const io::SafetensorsFile& file, const std::string& path, const char* key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) {
    throw bad_input("checkpoint '" + path + "'", std::string("metadata '") + key + "'", "none");
  }
  return found->second;
}

[[noreturn]] void refuse_metadata(const std::string& path) {
  throw bad_input("checkpoint '" + path + "'", "numbers in its metadata", "others");
}

int64_t step_of(const io::SafetensorsFile& file, const std::string& path) {
  try {
    return std::stoll(metadata_of(file, path, "step"));
  } catch (const std::logic_error&) {
    refuse_metadata(path);
  }
}

}  // namespace

void save_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  std::vector<io::TensorPlan> plan;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    plan.push_back({name, tensors::dtype_of(tensor.type, name), tensor.shape});
  }
  io::SafetensorsWriter writer(path, plan,
                               {{"format", "pt"},
                                {"step", std::to_string(checkpoint.step)},
                                {"train_seconds", std::to_string(checkpoint.train_seconds)},
                                {kCpuSeconds, std::to_string(checkpoint.cpu_seconds)},
                                {kFingerprint, checkpoint.fingerprint}});
  for (const std::string& name : writer.order()) {
    const at::Tensor tensor = checkpoint.tensors.at(name).make();
    const io::TensorView view = tensors::bytes_of(tensor, name);
    writer.add(name, {view.data, view.size_bytes});
  }
  writer.commit();
}

std::optional<Checkpoint> load_checkpoint(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  const auto opened = std::make_shared<const io::SafetensorsFile>(io::SafetensorsFile::open(path));
  const io::SafetensorsFile& file = *opened;
  const auto text = [&](const char* key) { return metadata_of(file, path, key); };
  Checkpoint c;
  c.step = step_of(file, path);
  try {
    c.train_seconds = std::stod(text("train_seconds"));
    if (file.metadata().contains(kCpuSeconds)) c.cpu_seconds = std::stod(text(kCpuSeconds));
  } catch (const std::logic_error&) {
    refuse_metadata(path);
  }
  c.fingerprint = text(kFingerprint);
  for (const auto& [name, view] : file.tensors()) {
    if (view.dtype != io::DType::F32 && view.dtype != io::DType::U8) {
      throw bad_input("checkpoint '" + path + "' tensor '" + name + "'", "F32 or U8",
                      io::name_of(view.dtype));
    }
    const auto make = [opened, view = &view, name] {
      at::Tensor tensor = tensors::copied(*view, name);
      io::forget_pages({view->data, view->size_bytes});
      return tensor;
    };
    c.tensors[name] = {tensors::scalar_type_of(view.dtype, name), view.shape, make};
  }
  return c;
}

std::optional<int64_t> checkpoint_step(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  return step_of(io::SafetensorsFile::open(path), path);
}

std::optional<std::string> fingerprint_in(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  return metadata_of(io::SafetensorsFile::open(path), path, kFingerprint);
}

void write_weights(const std::string& path, const std::map<std::string, at::Tensor>& weights,
                   at::ScalarType dtype) {
  std::map<std::string, at::Tensor> converted;
  for (const auto& [name, t] : weights) converted[name] = t.cpu().to(dtype);
  tensors::save_safetensors(path, converted, {{"format", "pt"}});
}

}  // namespace pangu::train
