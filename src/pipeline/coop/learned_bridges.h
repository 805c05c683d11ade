// Learned converters between latent spaces, from the folders that `pangu-draw train-bridge` writes:
// config.json ("_class_name": "LatentConverter") and diffusion_pytorch_model.safetensors.
#pragma once
#include <string>
#include <vector>

#include "pipeline/coop/bridges.h"
#include "pipeline/families/networks.h"

namespace pangu::pipeline {

// Reads the configuration, with what its training measured, now and the weights at the first
// conversion. Error kBadInput naming what is missing for a folder that is none.
LearnedBridge open_learned_bridge(const std::string& folder, const Placement& place = {});

// `folder` itself if it is a learned bridge's, else those right inside of it, by name. None if
// there is none, or no such folder.
std::vector<std::string> learned_bridges_in(const std::string& folder);

}  // namespace pangu::pipeline
