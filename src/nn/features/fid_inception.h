// The Inception network by which the field computes FID, KID and Inception Score: TensorFlow's of
// 2015-12-05 with 1008 classes, in PyTorch's names as pytorch-fid and torch-fidelity distribute its
// weights. It differs from the paper's network in its means of neighbours, which leave out the
// padding, and in the last block's pool, which takes the greatest. It resizes nothing: how pictures
// become 299 pixels wide differs between tools (eval/fid_resize.h), and scores with it.
#pragma once
#include <ATen/core/Tensor.h>

#include "nn/features/inception_graph.h"
#include "nn/unet/unet_scope.h"
#include "nn/weights.h"

namespace pangu::nn {

inline constexpr int64_t kFidInputPx = 299;
inline constexpr int64_t kFidFeatures = 2048;
inline constexpr int64_t kFidClasses = 1008;

// Whether the tensors are named as those of this network.
bool is_fid_inception(const TensorShapes& shapes);

struct FidFeatures {
  at::Tensor pooled;  // [B,2048] f32, mean over positions: of FID and KID
  at::Tensor logits;  // [B,1008] f32, without the classifier's bias: of the Inception Score
};

// Immutable; one object may serve many threads.
class FidInception {
 public:
  // Takes Conv2d_1a_3x3.conv.weight, .bn.{weight,bias,running_mean,running_var}, ...,
  // fc.weight; the constructor folds the normalisation into the weights. Other tensors are left.
  // Throws kBadInput naming what is missing or misshapen.
  explicit FidInception(const TensorMap& tensors);

  // pixels: [B,3,299,299] f32, RGB in about [-1,1]. trace: gets "Mixed_5b" and so on.
  FidFeatures features(const at::Tensor& pixels, const TraceFn& trace = {}) const;

 private:
  inception::Graph graph_;
  at::Tensor classes_;  // [1008,2048]
};

}  // namespace pangu::nn
