// The VGG16 trunk as a frozen feature extractor (perceptual loss, HED's edge features). It is no
// classifier. Topology: Simonyan and Zisserman 2014; names as torchvision's `features.N`.
// The weights of tools/export_vgg.py were fine-tuned on edges (Xie and Tu 2015) and expect RGB in
// 0..255 minus a mean; features() does that conversion.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "nn/weights.h"

namespace pangu::nn {

// Channels of each block.
inline constexpr int64_t kVggChannels[] = {64, 128, 256, 512, 512};
// Blocks that losses of pictures look at, up to relu3_3.
inline constexpr int kPerceptualDepth = 3;

struct VggConfig {
  int depth = 4;  // blocks to run, 1..5
};

class Vgg16 {
 public:
  // Takes features.N.weight and .bias of the first `depth` blocks, in any float dtype; more tensors
  // may be present. Throws kBadInput naming a missing or misshapen tensor, or a bad depth.
  Vgg16(const VggConfig& config, const TensorMap& tensors);

  // image: [B,3,H,W] float, RGB in [-1,1], H and W at least 2^(depth-1). Returns the activations
  // after the last ReLU of each block: relu1_2 [B,64,H,W], relu2_2 [B,128,H/2,W/2],
  // relu3_3 [B,256,H/4,W/4], relu4_3 [B,512,H/8,W/8] (halves round up), in the weights' dtype.
  // Gradients flow to `image`; the weights get none.
  std::vector<at::Tensor> features(const at::Tensor& image) const;

  // Moves and casts the weights, for example to CUDA or bf16. It is not thread-safe.
  void to(at::Device device, at::ScalarType dtype);

 private:
  struct Conv {
    at::Tensor weight, bias;
  };
  std::vector<std::vector<Conv>> blocks_;
  at::Tensor mean_;  // [1,3,1,1] f32
};

}  // namespace pangu::nn
