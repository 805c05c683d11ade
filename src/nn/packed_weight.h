// Weights of linear layers and convolutions, packed once for the kernels of our own
// (kernels/packed_product.h, kernels/int8_product.h): bf16 or int8 on a CPU, for networks that are
// not trained.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/watch.h"
#include "kernels/level.h"
#include "nn/activation.h"
#include "nn/conv_shape.h"
#include "nn/epilogue.h"
#include "nn/int8_plan.h"

namespace torch::nn {
class Module;
}

namespace pangu::nn {

class FastConv;

// Which weights are packed.
enum class Packing {
  kBf16,   // those in bf16
  kOwn,    // those in bf16, also where libtorch multiplies faster: for comparisons
  kRounds  // those in f32 as well, rounded to bf16: products of such a layer are in bf16, its
           // results in f32. Layers of few inputs or outputs stay f32: they cost little, and carry
           // what a network reads and writes.
};

// Whether this processor has kernels for weights that are rounded, and for those in int8.
bool has_packed_products();
bool has_int8_products();

class PackedWeight {
 public:
  // Packs a weight [O,I] or [O,I,kh,kw], and its bias [O] or undefined. `activation` is that of the
  // products, if it halves their outputs (kGeglu), else kNone. Returns null if the weight is not on
  // a CPU or not to be packed, or if this processor has no kernel for it.
  // A convolution of 3x3 taps that passes as `shape` says may be packed for fewer products
  // (nn/fast_conv.h).
  static std::shared_ptr<const PackedWeight> pack(const at::Tensor& weight, const at::Tensor& bias,
                                                  Activation activation, Packing packing,
                                                  const ConvShape& shape = {});

  // Packs codes, or the weight rounded to them if the layer has none. Its products are of bytes,
  // its results of the weight's type. Returns null as pack() does.
  static std::shared_ptr<const PackedWeight> pack_int8(const at::Tensor& weight,
                                                       const at::Tensor& bias,
                                                       Activation activation,
                                                       const Int8Layer& layer);

  // What packing has made of the weight, by the name of its order: bf16 numbers that only kernels
  // of this machine's level can read. REQUIRES: not in int8, not compared.
  std::map<std::string, at::Tensor> numbers() const;
  // The weight again that numbers() was called of, made without packing. sizes, type: those of the
  // plain weight. Returns null if pack() would make other numbers of such a weight here.
  static std::shared_ptr<const PackedWeight> of_numbers(
      const std::map<std::string, at::Tensor>& numbers, at::IntArrayRef sizes, at::ScalarType type,
      const at::Tensor& bias, Activation activation, Packing packing, const ConvShape& shape = {});

  // The same weight, which computes beside every product that of `other`, and adds to `error` how
  // far that is off, residuals left aside.
  std::shared_ptr<const PackedWeight> compared(const std::shared_ptr<const PackedWeight>& other,
                                               const std::shared_ptr<Int8Error>& error) const;

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
  static std::shared_ptr<PackedWeight> without_numbers(at::IntArrayRef sizes, at::ScalarType type,
                                                       const at::Tensor& bias,
                                                       Activation activation, Packing packing);
  std::string product_order() const;
  struct Places;
  void set_input(Places& places, const at::Tensor& x, const Prologue& prologue) const;
  at::Tensor product(const Places& places, const Epilogue& epilogue) const;
  void compare(const Epilogue& epilogue,
               const std::function<at::Tensor(const PackedWeight&, const Epilogue&)>& run) const;

  at::Tensor numbers_;  // packed: bf16, or bytes; undefined where `fast_` serves every input
  std::shared_ptr<const FastConv> fast_, enlarging_;  // may be null
  at::Tensor bias_;                                   // f32 [O], or undefined
  std::vector<int64_t> sizes_;                        // of the weight
  Activation activation_ = Activation::kNone;
  kernels::Level level_ = kernels::Level::kAvx512Bf16;  // whose kernel reads the numbers
  at::ScalarType type_ = at::kBFloat16;  // of the weight before packing, and of the results
  bool int8_ = false;
  std::shared_ptr<const PackedWeight> other_;  // that is compared with this one
  std::shared_ptr<Int8Error> error_;
};

struct PackOptions {
  Packing packing = Packing::kBf16;
  Watch watch = {};                                    // checked before every layer
  std::function<void(const at::Tensor&)> copied = {};  // gets every plain weight that is let go of
  const Int8Plan* int8 = nullptr;                      // these layers compute in int8
  // Every layer of `int8` computes as `packing` says and in int8 beside, and its error is here.
  Int8Errors* errors = nullptr;
};

// Packs the weights of every Linear and Conv2d of a network that will only be read, where there are
// kernels for them. The plain weight is let go of: in its place stands a tensor of its sizes that
// takes no memory and whose every number is not-a-number. LoRAs are merged before. Throws Stopped
// between two layers.
void pack_weights(torch::nn::Module& network, const PackOptions& options = {});

// The same of one module of the network, without those in it. name: in the network.
void pack_module(torch::nn::Module& module, const std::string& name, const PackOptions& options);

// What stands in the place of a packed weight of these sizes and this type.
at::Tensor packed_placeholder(at::IntArrayRef sizes, at::ScalarType type);

// Calls visit(name, value) for every parameter of a network, unpacked where it is packed.
void for_each_parameter(const torch::nn::Module& network,
                        const std::function<void(const std::string&, const at::Tensor&)>& visit);

}  // namespace pangu::nn
