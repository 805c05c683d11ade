// The output of the deep part of a UNet, which changes little from one step of a drawing to the
// next, so that a later step may use it again (DeepCache: Ma, Fang and Wang 2023, arXiv
// 2312.00858). When it is used again, and for which steps, is decided elsewhere.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pangu::nn {

// The downward half of a UNet makes skip states 0 to n - 1 (state 0 is conv_in's), and its upward
// half takes them in the opposite order. At depth d, 0 < d < n, the deep part is everything between
// the layer that makes state d - 1 and the layer that takes it; the middle block is always in it.
// The other layers, the shallow part, are computed in every forward.
struct DeepFeatures {
  int64_t depth = 0;
  // The output of the deep part, [B,C,h,w]. If undefined, forward computes it and stores it here;
  // otherwise forward uses it and computes the shallow part alone.
  at::Tensor state;
};

}  // namespace pangu::nn
