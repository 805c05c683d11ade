// Low-rank changes of frozen weights while they are trained (Hu et al. 2021): beside the product
// with a weight stands one with two thin matrices, which alone learn. Changes that are only applied
// are merged into the weights (nn/lora.h).
#pragma once
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nn/conv_shape.h"

namespace pangu::nn {

// The change of one weight [O,I] or [O,I,kh,kw]: scale * up * down.
struct LowRank {
  at::Tensor down;   // [r,I] or [r,I,kh,kw]
  at::Tensor up;     // [O,r] or [O,r,1,1]
  double scale = 1;  // alpha / r
};

// Returns scale * up(down(x)), in the type of the matrices. x: [...,I]; a kernel must be 1x1.
at::Tensor low_rank_linear(const at::Tensor& x, const LowRank& change);
// The same for a convolution of this shape. x: [B,I,H,W].
at::Tensor low_rank_conv2d(const at::Tensor& x, const LowRank& change, const ConvShape& shape);

// Which layers of a network get a change, and of what rank.
struct LowRankOptions {
  int64_t rank = 16;
  double alpha = 16;
  // Of kernels above 1x1; 0: they get none.
  int64_t kernel_rank = 0;
  double kernel_alpha = 1;
  // A layer is meant if its path is one of these, or ends with one behind a point, as PEFT's
  // target_modules.
  std::vector<std::string> targets;
  std::vector<std::string> left_out;  // layers whose paths begin so get none all the same
};

// The changes of the layers of one or several networks, as a module whose parameters are what is
// trained.
class LowRankChanges : public torch::nn::Module {
 public:
  struct Layer {
    std::string part;  // what add() was told
    std::string path;  // "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    std::string name;  // of its parameters here, "NAME.lora_down" and "NAME.lora_up"
    int64_t rank = 0;
    double alpha = 0;
  };

  LowRankChanges() = default;  // of no network yet
  LowRankChanges(torch::nn::Module& network, const LowRankOptions& options,
                 const std::string& prefix) {
    add(network, options, prefix, "unet");
  }

  // Puts a change beside every layer that is meant, and freezes the network's own parameters. The
  // changes begin as nothing: up is 0, down is uniform as torch's layers begin (kohya's trainer),
  // out of torch's generator. prefix: of the names; another one for each network. part: what the
  // network is in its model ("unet", "text_encoder"). Throws kBadInput if a target is the end of no
  // layer's path. The layers keep the changes alive.
  void add(torch::nn::Module& network, const LowRankOptions& options, const std::string& prefix,
           const std::string& part);

  const std::vector<Layer>& layers() const { return layers_; }

 private:
  std::vector<Layer> layers_;
};

}  // namespace pangu::nn
