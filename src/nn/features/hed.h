// HED, holistically-nested edge detection (Xie and Tu, ICCV 2015): soft edges that follow objects
// rather than texture. The trunk is nn/features/vgg.h; every block has a side output, and a sixth
// convolution fuses them. Canny's thin lines are image/canny.h. Weights: tools/export_hed.py.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "nn/features/vgg.h"

namespace pangu::nn {

// Immutable; one object may serve many threads.
class Hed {
 public:
  inline static constexpr int64_t kSmallestPx = 16;  // for smaller pictures the last block is empty

  // Takes the trunk's features.N (nn/features/vgg.h), dsn1..dsn5.{weight,bias} and
  // fuse.{weight,bias}, each plain or 8-bit (nn/frozen_weights.h). Throws kBadInput naming what is
  // missing or misshapen.
  explicit Hed(const TensorMap& tensors);

  // image: [B,3,H,W] f32, RGB in [-1,1], sides of at least kSmallestPx (kInternal error otherwise).
  // Returns the probability of an edge, [B,1,H,W] f32 in [0,1].
  at::Tensor edges(const at::Tensor& image) const;

  // Returns the logits of the five side outputs and the fused one, each [B,1,H,W]. edges() is the
  // sigmoid of the last.
  std::vector<at::Tensor> logits(const at::Tensor& image) const;

 private:
  struct Conv {
    at::Tensor weight, bias;
  };
  Vgg16 trunk_;
  std::vector<Conv> sides_;
  Conv fuse_;
};

}  // namespace pangu::nn
