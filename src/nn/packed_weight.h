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

// Which weights are packed.
enum class Packing {
  kBf16,   // those in bf16
  kRounds  // those in f32 as well, rounded to bf16: products of such a layer are in bf16, its
           // results in f32. Layers of few inputs or outputs stay f32: they cost little, and carry
           // what a network reads and writes.
};

// Whether this processor has kernels for packed weights.
bool has_packed_products();

class PackedWeight {
 public:
  // Packs a weight [O,I] or [O,I,kh,kw], and its bias [O] or undefined. `activation` is that of the
  // products, if it halves their outputs (kGeglu), else kNone. Returns null if the weight is not on
  // a CPU or not to be packed, or if this processor has no kernel for it.
  static std::shared_ptr<const PackedWeight> pack(const at::Tensor& weight, const at::Tensor& bias,
                                                  Activation activation, Packing packing);

  // Returns what linear() or conv2d() does for x [...,I] or [B,I,H,W] of any type, in the type of
  // the weight before packing, without a gradient. The result of a convolution is channels-last.
  // Throws kInternal if x has another number of inputs than the weight, or if GEGLU is asked of a
  // weight that was not packed for it, or the other way round.
  at::Tensor linear(const at::Tensor& x, const Prologue& prologue, const Epilogue& epilogue) const;
  at::Tensor conv2d(const at::Tensor& x, const ConvShape& shape, const Prologue& prologue,
                    const Epilogue& epilogue) const;

  // The weight, bit for bit or as it was rounded, a convolution's channels-last.
  at::Tensor unpacked() const;

 private:
  PackedWeight() = default;
  struct Places;
  at::Tensor product(const Places& places, const Epilogue& epilogue) const;

  at::Tensor numbers_;          // packed
  at::Tensor bias_;             // f32 [O], or undefined
  std::vector<int64_t> sizes_;  // of the weight
  Activation activation_ = Activation::kNone;
  at::ScalarType type_ = at::kBFloat16;  // of the weight before packing, and of the results
};

struct PackOptions {
  Packing packing = Packing::kBf16;
  Watch watch = {};                                    // checked before every layer
  std::function<void(const at::Tensor&)> copied = {};  // gets every plain weight that is let go of
};

// Packs the weights of every Linear and Conv2d of a network that will only be read, where there are
// kernels for them. The plain weight is let go of: in its place stands a tensor of its sizes that
// takes no memory and whose every number is not-a-number. LoRAs are merged before. Throws Stopped
// between two layers.
void pack_weights(torch::nn::Module& network, const PackOptions& options = {});

// Calls visit(name, value) for every parameter of a network, unpacked where it is packed.
void for_each_parameter(const torch::nn::Module& network,
                        const std::function<void(const std::string&, const at::Tensor&)>& visit);

}  // namespace pangu::nn
