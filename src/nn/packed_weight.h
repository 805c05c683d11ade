// Weights of linear layers and convolutions, packed once for the kernels of our own
// (kernels/packed_product.h): bf16 on a CPU, for networks that are not trained.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/watch.h"
#include "nn/activation.h"
#include "nn/conv_shape.h"
#include "nn/epilogue.h"

namespace torch::nn {
class Module;
}

namespace pangu::nn {

class PackedWeight {
 public:
  // Packs a weight [O,I] or [O,I,kh,kw], and its bias [O] or undefined. `activation` is that of the
  // products, if it halves their outputs (kGeglu), else kNone. Returns null if the weight is not
  // bf16 on a CPU, or if this processor has no kernel for it.
  static std::shared_ptr<const PackedWeight> pack(const at::Tensor& weight, const at::Tensor& bias,
                                                  Activation activation);

  // Returns what linear() or conv2d() does for x [...,I] or [B,I,H,W], in bf16, without a gradient.
  // The result of a convolution is channels-last. REQUIRES: the activation of packing, if that was
  // kGeglu.
  at::Tensor linear(const at::Tensor& x, const Prologue& prologue, const Epilogue& epilogue) const;
  at::Tensor conv2d(const at::Tensor& x, const ConvShape& shape, const Prologue& prologue,
                    const Epilogue& epilogue) const;

  // The weight, bit for bit, a convolution's channels-last.
  at::Tensor unpacked() const;

 private:
  PackedWeight() = default;
  struct Places;
  at::Tensor product(const Places& places, const Epilogue& epilogue) const;

  at::Tensor numbers_;          // packed
  at::Tensor bias_;             // f32 [O], or undefined
  std::vector<int64_t> sizes_;  // of the weight
  Activation activation_ = Activation::kNone;
};

// Packs the weights of every Linear and Conv2d of a network that will only be read, where there are
// kernels for them. The plain weight is let go of: in its place stands a tensor of its sizes that
// takes no memory and whose every number is not-a-number. LoRAs are merged before. Throws Stopped
// between two layers.
void pack_weights(torch::nn::Module& network, const Watch& watch = {});

// Calls visit(name, value) for every parameter of a network, unpacked where it is packed.
void for_each_parameter(const torch::nn::Module& network,
                        const std::function<void(const std::string&, const at::Tensor&)>& visit);

}  // namespace pangu::nn
