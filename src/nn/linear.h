// The one product with a weight matrix of our networks. Kernels of our own, and packed or quantised
// weights, belong here.
#pragma once
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <map>
#include <memory>
#include <string>

#include "nn/epilogue.h"

namespace pangu::nn {

class PackedWeight;
struct LowRank;
enum class Packing;
struct Int8Error;
struct Int8Layer;

// Returns epilogue(prologue(x) weight^T + bias) as [...,O]. x: [...,I]; weight: [O,I]; bias: [O] or
// undefined. Differentiable in everything.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  const Prologue& prologue = {}, const Epilogue& epilogue = {});

// The definition in plain ATen operators; tests compare the kernels with it.
at::Tensor plain_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        const Prologue& prologue = {}, const Epilogue& epilogue = {});

// A module that holds "weight" and, unless has_bias is false, "bias".
class LinearImpl : public torch::nn::Module {
 public:
  // Makes fresh weights as torch's Linear does, from torch's global generator.
  LinearImpl(int64_t in, int64_t out, bool has_bias = true);
  at::Tensor forward(const at::Tensor& x, const Prologue& prologue = {},
                     const Epilogue& epilogue = {}) const;

  // Says that forward() gets an epilogue with GEGLU, for which weights are packed otherwise.
  void set_gated() { activation_ = Activation::kGeglu; }
  // Packs the weight, if there is a kernel for it (nn/packed_weight.h); forward() then uses that.
  void pack(Packing packing);
  // The same in int8, or as `packing` says with a comparison of both.
  void pack_int8(const Int8Layer& layer);
  void pack_compared(Packing packing, const Int8Layer& layer, std::shared_ptr<Int8Error>& error);
  const std::shared_ptr<const PackedWeight>& packed() const { return packed_; }
  // Takes what another layer of this one's shape has made of its weight (PackedWeight::of_numbers).
  // Returns whether this one would make the same.
  bool take_packed(const std::map<std::string, at::Tensor>& numbers, Packing packing);
  // Adds a change that is trained to the product of the weight (nn/low_rank.h); null: none. A
  // packed layer takes none.
  void set_change(std::shared_ptr<const LowRank> change) { change_ = std::move(change); }

  at::Tensor weight;  // [O,I]
  at::Tensor bias;    // [O] or undefined

 private:
  Activation activation_ = Activation::kNone;
  std::shared_ptr<const PackedWeight> packed_;
  std::shared_ptr<const LowRank> change_;
};
TORCH_MODULE(Linear);

// Gives weight, and bias if it is defined, torch's default values: uniform within 1 / sqrt(number
// of inputs of an output). It serves modules that hold the weights of a product.
void init_product_weights(at::Tensor& weight, at::Tensor& bias);

}  // namespace pangu::nn
