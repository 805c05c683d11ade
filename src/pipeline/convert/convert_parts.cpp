#include "pipeline/convert/convert_parts.h"

#include <torch/types.h>

#include <algorithm>

#include "core/error.h"
#include "pipeline/families/spec.h"
#include "tensors/bytes.h"

namespace pangu::pipeline {
namespace {

constexpr double kMeterBytes = 1e6;  // a megabyte

bool is_float_dtype(io::DType dtype) {
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

at::Tensor given_tensor_of(const WrittenPart& part, const std::string& name) {
  if (part.trained) return part.trained->at(name).cpu();
  Component one;
  one.tensors[name] = part.tensors.at(name);
  one.files = part.component->files;
  return tensors_of(one).at(name);
}

}  // namespace

WrittenType written_type_from(const std::string& name) {
  if (name == "bf16") return {io::DType::BF16, "bfloat16"};
  if (name == "f16") return {io::DType::F16, "float16"};
  if (name == "f32") return {io::DType::F32, "float32"};
  throw bad_input("dtype", "bf16, f16 or f32", "'" + name + "'");
}

bool is_text_encoder(const std::string& component) { return component.starts_with("text_encoder"); }

bool has_spare_layer(const Source& source, const std::string& component) {
  const auto& encoders = source.spec->encoders;
  return std::any_of(encoders.begin(), encoders.end(), [&](const ClipEncoderSpec& encoder) {
    return encoder.component == component && encoder.layer != encoder.layer_of_single_file;
  });
}

std::string text_layer_prefix(int64_t layer) {
  return "text_model.encoder.layers." + std::to_string(layer) + ".";
}

int64_t text_layers_of(const io::NamedTensors& tensors) {
  const auto has = [&](const std::string& prefix) {
    const auto found = tensors.lower_bound(prefix);
    return found != tensors.end() && found->first.starts_with(prefix);
  };
  int64_t count = 0;
  while (has(text_layer_prefix(count))) ++count;
  return count;
}

std::vector<WrittenPart> written_parts_of(const Source& source, const ConvertOptions& options) {
  std::vector<WrittenPart> parts;
  for (const auto& [name, component] : source.components) {
    WrittenPart& part = parts.emplace_back();
    part.name = name;
    part.component = &component;
    part.tensors = component.tensors;
    // Our own text encoders are packed, so their numbers must not be converted.
    part.keeps_types = component.config.is_object() && is_text_encoder(name) &&
                       component.config.value("model_type", std::string()) == "bert";
    if (options.trained.empty()) continue;
    const auto trained = options.trained.find(name);
    part.keeps_types = trained == options.trained.end();
    if (!part.keeps_types) part.trained = &trained->second;
  }
  return parts;
}

io::DType written_dtype_of(const WrittenPart& part, const std::string& name,
                           const WrittenType& type) {
  const io::TensorView& view = part.tensors.at(name).view;
  if (is_float_dtype(view.dtype) && !part.keeps_types) return type.dtype;
  return view.scales.empty() ? view.dtype : io::DType::F32;
}

at::Tensor written_tensor_of(const WrittenPart& part, const std::string& name,
                             const WrittenType& type) {
  const io::NamedTensor& named = part.tensors.at(name);
  const at::Tensor given = given_tensor_of(part, name);
  if (!is_float_dtype(named.view.dtype) || part.keeps_types) return given.contiguous();
  const at::Tensor changed = given.to(tensors::scalar_type_of(type.dtype, name)).contiguous();
  if (type.dtype == io::DType::F16 && given.scalar_type() != at::kHalf &&
      !changed.isfinite().all().item<bool>() &&
      given.to(at::kFloat).isfinite().all().item<bool>()) {
    throw bad_input("tensor '" + name + "' of " + part.component->origin, "numbers up to 65504",
                    "a greater one, which f16 cannot hold", "bf16 can");
  }
  return changed;
}

void WritingMeter::add(uint64_t bytes, const std::string& text) {
  done += bytes;
  if (!on_progress) return;
  Progress progress;
  progress.done = static_cast<int64_t>(static_cast<double>(done) / kMeterBytes);
  progress.total =
      std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(total) / kMeterBytes));
  progress.unit = "MB";
  progress.text = text;
  on_progress(progress);
}

}  // namespace pangu::pipeline
