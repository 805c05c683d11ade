// One network as a folder in diffusers' layout: its configuration, and its weights as safetensors.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace pangu::pipeline {

inline constexpr const char* kNetworkWeights = "diffusion_pytorch_model.safetensors";

// kohya's save_precision: "bf16", "fp16", "float". Error kBadInput for another word.
at::ScalarType save_type_from(const std::string& name);

// Makes `folder` if need be; each of the two files is written whole or not at all. weights: by the
// names that diffusers' class has for them; converted to `type`. Error kIo.
void write_network_folder(const std::string& folder, const nlohmann::json& config,
                          const std::map<std::string, at::Tensor>& weights, at::ScalarType type,
                          const std::string& file = kNetworkWeights);

}  // namespace pangu::pipeline
