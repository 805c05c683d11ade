// Denoisers that a training goes on from, as folders: one that has learnt nothing, and one of a
// model that draws from text whose part for masks has learnt nothing.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "pipeline/families/source.h"

namespace pangu::pipeline {

// Writes the UNet of diffusers' configuration `config` in f32 to `folder`, in diffusers' layout:
// weights by torch's defaults out of `seed`, but for the last convolution, which is 0; or `given`,
// by diffusers' names, where there are any. Error kBadInput for a bad configuration, or weights
// that do not fit it.
void write_initial_network(const std::string& folder, const nlohmann::json& config, uint64_t seed,
                           const std::map<std::string, at::Tensor>& given = {});

// Writes the UNet `component` to `folder` with input channels for a mask and a masked picture's
// latent behind the latent's, whose weights are 0: it predicts what it did, whatever it is told of
// masks, and learns to fill them (the model cards of Stable Diffusion 1.5's and of SDXL's
// inpainting models). Weights keep their type if that is f32, bf16 or f16, else they become f32.
// Error kBadInput for a component that is no UNet of diffusers' names.
void write_inpainting_network(const std::string& folder, const Component& component,
                              int latent_channels);

}  // namespace pangu::pipeline
