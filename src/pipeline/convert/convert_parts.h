// What is written of a model, part by part and tensor by tensor, whatever it is written into: the
// types of the tensors, their numbers, and how much of them is done. This is no contract of the
// room; convert.h is.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "core/progress.h"
#include "pipeline/convert/convert.h"
#include "pipeline/families/source.h"

namespace pangu::pipeline {

// The type in which floating tensors are written.
struct WrittenType {
  io::DType dtype = io::DType::BF16;
  const char* torch_name = "bfloat16";
};
// "bf16", "f16", "f32"; error kBadInput for others.
WrittenType written_type_from(const std::string& name);

// A component as it will be written, by the names of diffusers and transformers.
struct WrittenPart {
  std::string name;
  const Component* component = nullptr;
  io::NamedTensors tensors;
  bool keeps_types = false;
  const std::map<std::string, at::Tensor>* trained = nullptr;  // in place of the tensors' numbers
};

bool is_text_encoder(const std::string& component);
// Whether single files of the model's family keep a last layer of this text encoder that released
// folders do not have.
bool has_spare_layer(const Source& source, const std::string& component);
// The number of layers of a text encoder, of tensors with "text_model." in their names.
int64_t text_layers_of(const io::NamedTensors& tensors);
std::string text_layer_prefix(int64_t layer);  // "text_model.encoder.layers.3."

// All components, with the tensors that the source has. options.trained decides what keeps its
// types.
std::vector<WrittenPart> written_parts_of(const Source& source, const ConvertOptions& options);

// The type in which one tensor is written.
io::DType written_dtype_of(const WrittenPart& part, const std::string& name,
                           const WrittenType& type);
// Reads one tensor and converts it to that type; contiguous. Throws kBadInput for a number that f16
// cannot hold.
at::Tensor written_tensor_of(const WrittenPart& part, const std::string& name,
                             const WrittenType& type);

// Reports how much of all parts is done.
struct WritingMeter {
  const OnProgress& on_progress;
  uint64_t done = 0, total = 0;  // bytes

  void add(uint64_t bytes, const std::string& text);
};

}  // namespace pangu::pipeline
