// A denoiser that has learnt nothing, as a folder: what a training from random weights goes on
// from.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace pangu::pipeline {

// Writes the UNet of diffusers' configuration `config` in f32 to `folder`, in diffusers' layout:
// weights by torch's defaults out of `seed`, but for the last convolution, which is 0; or `given`,
// by diffusers' names, where there are any. Error kBadInput for a bad configuration, or weights
// that do not fit it.
void write_initial_network(const std::string& folder, const nlohmann::json& config, uint64_t seed,
                           const std::map<std::string, at::Tensor>& given = {});

}  // namespace pangu::pipeline
