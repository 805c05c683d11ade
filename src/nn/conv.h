// The one two-dimensional convolution of our networks; the feature networks (nn/features) have odd
// shapes and call ATen themselves. Kernels of our own, and packed or quantised weights, belong
// here.
#pragma once
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <memory>

#include "nn/conv_shape.h"
#include "nn/epilogue.h"

namespace pangu::nn {

class PackedWeight;
enum class Packing;

// Returns epilogue(prologue(x) * weight + bias) as [B,O,H',W']. x: [B,I,H,W]; weight: [O,I,kh,kw];
// bias: [O] or undefined. Differentiable in everything.
at::Tensor conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  const ConvShape& shape, const Prologue& prologue = {},
                  const Epilogue& epilogue = {});

// The definition: a product of the weights with the patches of x. Tests compare the kernels with
// it.
at::Tensor plain_conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        const ConvShape& shape, const Prologue& prologue = {},
                        const Epilogue& epilogue = {});

// A module that holds "weight" and, unless has_bias is false, "bias".
class Conv2dImpl : public torch::nn::Module {
 public:
  // Makes a square kernel with fresh weights as torch's Conv2d does, from torch's global generator.
  Conv2dImpl(int64_t in, int64_t out, int64_t kernel, const ConvShape& shape = {},
             bool has_bias = true);
  at::Tensor forward(const at::Tensor& x, const Prologue& prologue = {},
                     const Epilogue& epilogue = {}) const;
  // What forward() computes for pixels that are given as tokens [...,I]. REQUIRES: a 1x1 kernel.
  at::Tensor on_tokens(const at::Tensor& tokens) const;

  // Packs the weight, if there is a kernel for it (nn/packed_weight.h); forward() then uses that.
  void pack(Packing packing);
  const std::shared_ptr<const PackedWeight>& packed() const { return packed_; }

  at::Tensor weight;  // [O,I,kernel,kernel]
  at::Tensor bias;    // [O] or undefined

 private:
  ConvShape shape_;
  std::shared_ptr<const PackedWeight> packed_;
};
TORCH_MODULE(Conv2d);

// Makes a convolution with an odd kernel that keeps the sides or, with stride 2, halves them,
// rounding up.
Conv2d same_conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1,
                   bool has_bias = true);

}  // namespace pangu::nn
