// The graph of Inception V3 (Szegedy et al. 2015) that its two networks share:
// nn/features/inception.h and fid_inception.h. They differ in the names of their weights, in the
// last pool, and in what they return. Not a public contract of the room.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace pangu::nn::inception {

// A convolution with its normalisation folded in; relu follows.
struct FoldedConv {
  at::Tensor weight, bias;
  int64_t stride = 1;
  bool same_padding = true;  // false: no padding
};

struct Graph {
  std::vector<FoldedConv> convs;  // in the order of the walk: the stem, then each block's branches
  // Whether the last block takes the greatest of neighbours where all others take their mean, as
  // TensorFlow's network of 2015-12-05 does.
  bool max_pool_at_last = false;
};

inline constexpr size_t kConvs = 94;
inline constexpr int64_t kSmallestPx = 75;  // for smaller pictures the last blocks are empty

// Reads the weight and the bias of convolution `number` (from 0); shape: [out,in,height,width].
using ReadConv = std::function<std::pair<at::Tensor, at::Tensor>(
    size_t number, const std::vector<int64_t>& shape)>;
// Gets the result of each stage: "Conv2d_1a_3x3", ..., "MaxPool_2", "Mixed_5b", ..., "Mixed_7c", by
// their usual names. Returns whether to go on.
using OnStage = std::function<bool(const char* stage, const at::Tensor& x)>;

// Asks for the convolutions one after the other, up to the stage where `on_stage` stops. side:
// pixels, at least kSmallestPx.
Graph build(int64_t side, bool max_pool_at_last, const ReadConv& read, const OnStage& on_stage);

// x: [B,3,side,side] f32 as the network wants it. Returns [B,2048,h,w], or an undefined tensor if
// it was stopped.
at::Tensor run(const Graph& graph, const at::Tensor& x, const OnStage& on_stage);

}  // namespace pangu::nn::inception
