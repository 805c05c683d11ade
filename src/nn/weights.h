// Named weights into and out of networks: TensorMap <-> torch::nn::Module.
// Names are diffusers' and transformers'. Knows no architecture.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <optional>
#include <string>

#include "core/watch.h"
#include "tensors/safetensors.h"

namespace torch::nn {
class Module;
}

namespace pangu::nn {

using tensors::TensorMap;
using tensors::TensorShapes;

// Copies tensors `prefix + name` into the module's parameters and buffers, converting dtype.
// Throws Error kBadInput naming the first missing, unexpected or misshapen tensor.
void load_into(torch::nn::Module& module, const TensorMap& tensors, const std::string& prefix = "");

// While it lives, modules that this thread makes get parameters whose values are not set: their
// memory is reserved and never touched, so that a network of any size is made in milliseconds. All
// must then be loaded. Do nothing else meanwhile: in-place writes are dropped.
// How: libtorch's Meta backend, which computes shapes only, is asked before the CPU's.
class SkipInitialisation {
 public:
  SkipInitialisation() : meta_(c10::DispatchKey::Meta) {}

 private:
  c10::impl::IncludeDispatchKeyGuard meta_;
};

struct AssignOptions {
  std::string prefix = "";  // of the names in `tensors`
  std::optional<at::ScalarType> dtype =
      std::nullopt;  // of floating tensors; unset: as in `tensors`
  at::Device device = at::kCPU;
  // Kernels of convolutions in the layout of the activations; copies those, and only those.
  bool channels_last = false;
  Watch watch = {};  // asked before every tensor
};

// Makes the tensors `prefix + name` the module's parameters and buffers. A tensor that needs no
// conversion is taken as it is: a view of a mapped file stays one, so loading costs the mapping,
// and the module must not be written (merge_lora of nn/lora.h does not). Others are converted one
// by one, each freed before the next when nobody else holds it (move the map in).
// Throws Error kBadInput naming the first missing, unexpected or misshapen tensor, with the module
// unchanged; Stopped with a part of it loaded.
void load_by_assignment(torch::nn::Module& module, TensorMap tensors,
                        const AssignOptions& options = {});

// Parameters and buffers of a module by name, detached (they share memory with the module).
TensorMap state_of(const torch::nn::Module& module);
TensorShapes shapes_of(const torch::nn::Module& module);

}  // namespace pangu::nn
