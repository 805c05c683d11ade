// Moves named weights into and out of networks (TensorMap and torch::nn::Module). Names are those
// of diffusers and transformers. It knows no architecture.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <functional>
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
// Throws kBadInput naming the first missing, unexpected or misshapen tensor.
void load_into(torch::nn::Module& module, const TensorMap& tensors, const std::string& prefix = "");

// While it lives, modules that this thread makes get parameters whose values are not set, so that a
// network of any size is made in milliseconds. All parameters must be loaded afterwards, and
// nothing else may be done meanwhile, because in-place writes are dropped. It works by giving
// libtorch's Meta backend, which computes shapes only, precedence over the CPU's.
class SkipInitialisation {
 public:
  SkipInitialisation() : meta_(c10::DispatchKey::Meta) {}

 private:
  c10::impl::IncludeDispatchKeyGuard meta_;
};

struct AssignOptions {
  std::string prefix = "";  // of the names in `tensors`
  // The type of floating tensors; unset: as in `tensors`.
  std::optional<at::ScalarType> dtype = std::nullopt;
  at::Device device = at::kCPU;
  // Stores kernels of convolutions in the layout of the activations; only those are copied.
  bool channels_last = false;
  Watch watch = {};                                    // checked before every tensor
  std::function<void(const at::Tensor&)> copied = {};  // gets every tensor that was converted
  // Gets every module, by its name in the network ("" is that itself), when its own parameters and
  // buffers are there and those of later modules are not yet.
  std::function<void(torch::nn::Module& module, const std::string& name)> assigned = {};
};

// Makes the tensors `prefix + name` the module's parameters and buffers. A tensor that needs no
// conversion is taken as it is: a view of a mapped file stays one, so loading costs the mapping,
// and the module must not be written (merge_lora of nn/lora.h does not write it). Other tensors are
// converted one by one, and each is freed before the next if nobody else holds it (move the map
// in). Throws kBadInput naming the first missing, unexpected or misshapen tensor, with the module
// unchanged; throws Stopped with a part of it loaded.
void load_by_assignment(torch::nn::Module& module, TensorMap tensors,
                        const AssignOptions& options = {});

// Returns parameters and buffers of a module by name, detached; they share memory with the module.
TensorMap state_of(const torch::nn::Module& module);
TensorShapes shapes_of(const torch::nn::Module& module);

}  // namespace pangu::nn
