// Pictures of a dataset as tensors in memory, for training and its latent cache.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "data/dataset.h"
#include "train/config.h"

namespace pangu::app {

// Items of the training split that the configuration admits, of all its datasets. What cannot be
// read is named on stderr and left out. Error kBadInput if nothing is left.
std::vector<data::Item> training_items(const train::TrainConfig& config);

// The same as [S,S,4] u8 with S = side_px: smaller pictures enlarged (Lanczos), others shrunk,
// centred on transparency. None if stop() says so meanwhile; stop may be empty.
std::vector<at::Tensor> load_training_pictures(const train::TrainConfig& config, int64_t side_px,
                                               const std::function<bool()>& stop);

}  // namespace pangu::app
