// Widths, depths and skips of the UNet's blocks.
#include "nn/unet/unet_shapes.h"

#include <algorithm>

namespace pangu::nn {
namespace {

// Gives a block's attentions their depths.
void set_depths(BlockShape& shape, const Depths& depths) {
  shape.transformer->depth = depths.front();
  if (depths.size() > 1) shape.depths = depths;
}

TransformerShape transformer_at(const UNetConfig& c, int64_t level) {
  TransformerShape shape;
  shape.channels = c.block_out_channels[static_cast<size_t>(level)];
  shape.context_dim = at_level(c.cross_attention_dim, level);
  shape.heads = at_level(c.attention_head_dim, level);
  shape.norm_groups = c.norm_num_groups;
  shape.linear_projection = c.use_linear_projection;
  shape.only_cross_attention = at_level(c.only_cross_attention, level);
  shape.upcast = c.upcast_attention;
  return shape;
}

ResnetShape resnet(const UNetConfig& c, int64_t in, int64_t out) {
  return {in, out, c.time_embed_dim(), c.norm_num_groups, c.norm_eps};
}

}  // namespace

BlockShape down_shape(const UNetConfig& c, int64_t level) {
  BlockShape shape;
  const int64_t out = c.block_out_channels[static_cast<size_t>(level)];
  int64_t in = c.block_out_channels[static_cast<size_t>(level > 0 ? level - 1 : 0)];
  for (int64_t i = 0; i < at_level(c.layers_per_block, level); ++i) {
    shape.resnets.push_back(resnet(c, in, out));
    in = out;
  }
  if (c.down_block_types[static_cast<size_t>(level)] == "CrossAttnDownBlock2D") {
    shape.transformer = transformer_at(c, level);
    set_depths(shape, at_level(c.transformer_layers_per_block, level));
  }
  shape.resamples = level + 1 < c.levels();
  return shape;
}

BlockShape mid_shape(const UNetConfig& c) {
  BlockShape shape;
  const int64_t channels = c.block_out_channels.back();
  shape.resnets.push_back(resnet(c, channels, channels));
  if (*c.mid_block_type == "UNetMidBlock2DCrossAttn") {
    shape.resnets.push_back(resnet(c, channels, channels));
    shape.transformer = transformer_at(c, c.levels() - 1);
    shape.transformer->only_cross_attention = false;
    shape.transformer->depth = at_level(c.transformer_layers_per_block, c.levels() - 1).front();
  }
  return shape;
}

BlockShape up_shape(const UNetConfig& c, int64_t index) {
  BlockShape shape;
  const int64_t level = c.levels() - 1 - index;
  const auto channels = [&c](int64_t at) { return c.block_out_channels[static_cast<size_t>(at)]; };
  const int64_t out = channels(level);
  const int64_t finer = channels(std::max<int64_t>(level - 1, 0));
  int64_t from_below = channels(std::min(level + 1, c.levels() - 1));
  const int64_t layers = at_level(c.layers_per_block, level) + 1;
  for (int64_t i = 0; i < layers; ++i) {
    // The last skip of a level is the finer level's output (downsampled).
    const int64_t skip = i + 1 == layers ? finer : out;
    shape.resnets.push_back(resnet(c, from_below + skip, out));
    from_below = out;
  }
  if (c.up_block_types[static_cast<size_t>(index)] == "CrossAttnUpBlock2D") {
    shape.transformer = transformer_at(c, level);
    const auto& upward = c.reverse_transformer_layers_per_block;
    set_depths(shape,
               upward ? at_level(*upward, index) : at_level(c.transformer_layers_per_block, level));
  }
  shape.resamples = level > 0;
  return shape;
}

}  // namespace pangu::nn
