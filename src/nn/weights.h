// Named weights between files and networks: safetensors <-> TensorMap <-> torch::nn::Module.
// Names are diffusers' and transformers'. Knows no architecture.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>

namespace torch::nn {
class Module;
}

namespace pangu::nn {

using TensorMap = std::map<std::string, at::Tensor>;

// Reads every tensor of a safetensors file (f32, f16, bf16, integers). With `copy` false the
// tensors are views of the mapped file, which they keep alive, and must not be written.
TensorMap load_safetensors(const std::string& path, bool copy = true);

// Writes atomically (a temporary beside `path`, then rename). Tensors are made contiguous CPU
// first.
void save_safetensors(const std::string& path, const TensorMap& tensors,
                      const std::map<std::string, std::string>& metadata = {});

// Copies tensors `prefix + name` into the module's parameters and buffers, converting dtype.
// Throws Error kBadInput naming the first missing, unexpected or misshapen tensor.
void load_into(torch::nn::Module& module, const TensorMap& tensors, const std::string& prefix = "");

// Parameters and buffers of a module by name, detached (they share memory with the module).
TensorMap state_of(const torch::nn::Module& module);

}  // namespace pangu::nn
