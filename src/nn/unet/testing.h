// A small UNet's configuration for the tests of several files.
#pragma once
#include "nn/unet/unet_config.h"

namespace pangu::nn {

// Two levels of 16 and 32 channels, the first with cross-attention over states of 12 numbers;
// latents of 4 channels.
inline UNetConfig two_level_config() {
  UNetConfig c;
  c.in_channels = c.out_channels = 4;
  c.down_block_types = {"CrossAttnDownBlock2D", "DownBlock2D"};
  c.up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D"};
  c.block_out_channels = {16, 32};
  c.layers_per_block = {1};
  c.attention_head_dim = {2};
  c.cross_attention_dim = {12};
  c.norm_num_groups = 8;
  return c;
}

}  // namespace pangu::nn
