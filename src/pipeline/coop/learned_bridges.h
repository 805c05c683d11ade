// Opens learned converters between latent spaces from the folders that `pangu-draw train-bridge`
// writes: config.json ("_class_name": "LatentConverter") and diffusion_pytorch_model.safetensors.
#pragma once
#include <string>
#include <vector>

#include "pipeline/coop/bridges.h"
#include "pipeline/families/networks.h"

namespace pangu::pipeline {

// Reads the configuration, with what its training measured, at once, and the weights at the first
// conversion. Throws kBadInput naming what is missing if the folder is no learned bridge.
LearnedBridge open_learned_bridge(const std::string& folder, const Placement& place = {});

// Returns `folder` itself if it is a learned bridge, else the learned bridges among its direct
// subfolders, sorted by name. The list is empty if there is none, or no such folder.
std::vector<std::string> learned_bridges_in(const std::string& folder);

}  // namespace pangu::pipeline
