// The one two-dimensional convolution of our networks; the feature networks (nn/features) have odd
// shapes and call ATen themselves. Kernels of our own, and packed or quantised weights, belong
// here.
#pragma once
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <map>
#include <memory>
#include <string>

#include "nn/conv_shape.h"
#include "nn/epilogue.h"

namespace pangu::nn {

class PackedWeight;
struct LowRank;
enum class Packing;
struct Int8Error;
struct Int8Layer;

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
  // The same in int8, or as `packing` says with a comparison of both.
  void pack_int8(const Int8Layer& layer);
  void pack_compared(Packing packing, const Int8Layer& layer, std::shared_ptr<Int8Error>& error);
  const std::shared_ptr<const PackedWeight>& packed() const { return packed_; }
  // LinearImpl::take_packed.
  bool take_packed(const std::map<std::string, at::Tensor>& numbers, Packing packing);
  // LinearImpl::set_change.
  void set_change(std::shared_ptr<const LowRank> change) { change_ = std::move(change); }

  at::Tensor weight;  // [O,I,kernel,kernel]
  at::Tensor bias;    // [O] or undefined

 private:
  ConvShape shape_;
  std::shared_ptr<const PackedWeight> packed_;
  std::shared_ptr<const LowRank> change_;
};
TORCH_MODULE(Conv2d);

// Makes a convolution with an odd kernel that keeps the sides or, with stride 2, halves them,
// rounding up.
Conv2d same_conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1,
                   bool has_bias = true);

// Makes a 3x3 convolution that keeps the sides, behind an enlargement.
Conv2d enlarging_conv2d(int64_t channels);

}  // namespace pangu::nn
