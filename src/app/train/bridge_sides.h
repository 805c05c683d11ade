// The two ends of a learned bridge and the pictures that it is trained on, from what the command
// line says. Knows no converter.
#pragma once
#include <string>
#include <vector>

#include "data/dataset.h"
#include "pipeline/load_options.h"
#include "train/bridge_pairs.h"

namespace pangu::app {

// A model, or an autoencoder alone (AutoencoderKL, tiny) in a folder or file of its own. size_px 0:
// the model's default; of an autoencoder alone 0 stays.
train::BridgeSide open_bridge_side(const std::string& path, int size_px,
                                   const pipeline::LoadOptions& options);

// Every PNG, JPEG and WebP in a folder and the folders in it, or the items of one of our datasets.
// Error kBadInput if there are none.
std::vector<data::Item> bridge_pictures(const std::string& path);

}  // namespace pangu::app
