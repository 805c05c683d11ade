// Turns a UNet's configuration into the shapes of its blocks, for the UNet and the ControlNet.
#pragma once
#include "nn/unet/unet_blocks.h"
#include "nn/unet/unet_config.h"

namespace pangu::nn {

// REQUIRES: config.validate() passed. Levels count from the finest, `index` from the coarsest.
BlockShape down_shape(const UNetConfig& config, int64_t level);
BlockShape mid_shape(const UNetConfig& config);  // needs mid_block_type
BlockShape up_shape(const UNetConfig& config, int64_t index);

}  // namespace pangu::nn
