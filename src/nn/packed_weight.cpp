#include "nn/packed_weight.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "kernels/int8_product.h"
#include "kernels/packed_product.h"
#include "kernels/serving.h"
#include "nn/bf16_bits.h"
#include "nn/conv.h"
#include "nn/fast_conv.h"
#include "nn/fused_norm.h"
#include "nn/int8_input.h"
#include "nn/linear.h"
#include "nn/parallel.h"
#include "nn/product_results.h"

namespace pangu::nn {
namespace {

// Layers of fewer inputs or outputs are not rounded.
constexpr int64_t kFewest = 16;

// The kernels trust their caller in this.
Error other_width(int64_t expected, int64_t found) {
  return Error(ErrorCode::kInternal,
               "a product of " + std::to_string(expected) + " inputs got " + std::to_string(found));
}

// The input of a product in bf16.
at::Tensor rounded_input(const at::Tensor& x, const Prologue& prologue) {
  if (prologue.group_norm) {
    return group_norm_to_bf16(x, prologue.group_norm, prologue.activation, prologue.shift);
  }
  return before_product(x, prologue).to(at::kBFloat16);
}

// The names of orders in PackedWeight::numbers().
constexpr const char* kPairsOrder = "pairs";
constexpr const char* kEnlargingOrder = "enlarging";

bool takes_fast_conv(const ConvShape& shape) { return shape.stride == 1 && shape.padding == 1; }

template <class Layer>
void pack_layer(Layer* layer, const std::string& name, const PackOptions& options) {
  if (!layer || layer->packed()) return;  // a layer may be in two modules
  const auto found = options.int8 ? options.int8->find(name) : Int8Plan::const_iterator();
  const bool planned = options.int8 && found != options.int8->end();
  if (!planned) {
    layer->pack(options.packing);
  } else if (!options.errors) {
    layer->pack_int8(found->second);
    if (!layer->packed()) layer->pack(options.packing);
  } else {
    layer->pack_compared(options.packing, found->second, (*options.errors)[name]);
  }
  if (!layer->packed()) return;
  if (options.copied) options.copied(layer->weight);
  layer->weight.set_data(packed_placeholder(layer->weight.sizes(), layer->weight.scalar_type()));
}

std::shared_ptr<const PackedWeight> packed_of(const torch::nn::Module& module) {
  if (const auto* linear = module.as<LinearImpl>()) return linear->packed();
  if (const auto* conv = module.as<Conv2dImpl>()) return conv->packed();
  return nullptr;
}

void visit_own(const torch::nn::Module& module, const std::string& prefix,
               const std::function<void(const std::string&, const at::Tensor&)>& visit) {
  const auto packed = packed_of(module);
  for (const auto& parameter : module.named_parameters(/*recurse=*/false)) {
    visit(prefix + parameter.key(),
          packed && parameter.key() == "weight" ? packed->unpacked() : parameter.value());
  }
}

}  // namespace

// Where a product reads and writes.
struct PackedWeight::Places {
  at::Tensor x;        // kept alive
  at::Tensor factors;  // of its rows, in int8
  kernels::ProductProblem problem;
  std::vector<int64_t> sizes;  // of the result
  at::MemoryFormat format = at::MemoryFormat::Contiguous;
};

std::shared_ptr<PackedWeight> PackedWeight::without_numbers(at::IntArrayRef sizes,
                                                            at::ScalarType type,
                                                            const at::Tensor& bias,
                                                            Activation activation,
                                                            Packing packing) {
  kernels::ProductWeights w = product_weights(sizes, activation);
  const bool rounds =
      packing == Packing::kRounds && type == at::kFloat && std::min(w.inputs, w.outputs) >= kFewest;
  if (!(rounds || type == at::kBFloat16)) return nullptr;
  w.level = kernels::product_level(
      w, rounds ? kernels::Served::kRoundedProduct : kernels::Served::kProduct);
  if (packing == Packing::kOwn && w.level == kernels::Level::kPlain) {
    w.level = kernels::chosen_level();
  }
  if (!kernels::product_fits(w)) return nullptr;
  std::shared_ptr<PackedWeight> packed(new PackedWeight);
  packed->sizes_ = sizes.vec();
  packed->activation_ = activation;
  packed->level_ = w.level;
  packed->type_ = type;
  if (bias.defined()) packed->bias_ = bias.detach().to(at::kFloat).contiguous();
  return packed;
}

std::string PackedWeight::product_order() const {
  return "product_" + std::string(kernels::to_string(level_));
}

std::map<std::string, at::Tensor> PackedWeight::numbers() const {
  std::map<std::string, at::Tensor> all;
  if (fast_) all[kPairsOrder] = fast_->numbers();
  if (enlarging_) all[kEnlargingOrder] = enlarging_->numbers();
  if (numbers_.defined()) all[product_order()] = numbers_;
  return all;
}

std::shared_ptr<const PackedWeight> PackedWeight::of_numbers(
    const std::map<std::string, at::Tensor>& numbers, at::IntArrayRef sizes, at::ScalarType type,
    const at::Tensor& bias, Activation activation, Packing packing, const ConvShape& shape) {
  const auto packed = without_numbers(sizes, type, bias, activation, packing);
  if (!packed) return nullptr;
  const auto named = [&](const std::string& order) {
    const auto found = numbers.find(order);
    return found == numbers.end() ? at::Tensor() : found->second;
  };
  if (takes_fast_conv(shape) && FastConv::fits(sizes, shape.may_double)) {
    auto& fast = shape.may_double ? packed->enlarging_ : packed->fast_;
    const char* const order = shape.may_double ? kEnlargingOrder : kPairsOrder;
    fast = FastConv::of_numbers(named(order), sizes, shape.may_double);
    if (!fast) return nullptr;
  }
  kernels::ProductWeights w = product_weights(sizes, activation);
  w.level = packed->level_;
  if (!packed->fast_) {
    packed->numbers_ = named(packed->product_order());
    if (!are_packed_numbers(packed->numbers_, kernels::product_packed_size(w))) return nullptr;
  }
  return packed->numbers().size() == numbers.size() ? packed : nullptr;
}

std::shared_ptr<const PackedWeight> PackedWeight::pack(const at::Tensor& weight,
                                                       const at::Tensor& bias,
                                                       Activation activation, Packing packing,
                                                       const ConvShape& shape) {
  if (!weight.is_cpu()) return nullptr;
  const auto packed =
      without_numbers(weight.sizes(), weight.scalar_type(), bias, activation, packing);
  if (!packed) return nullptr;
  kernels::ProductWeights w = product_weights(weight.sizes(), activation);
  w.level = packed->level_;
  if (takes_fast_conv(shape)) {
    if (shape.may_double) packed->enlarging_ = FastConv::pack(weight, /*enlarges=*/true);
    if (!shape.may_double) packed->fast_ = FastConv::pack(weight, /*enlarges=*/false);
    if (packed->fast_) return packed;
  }
  const at::Tensor narrow = weight.detach().to(at::kBFloat16);
  const at::Tensor rows = (weight.dim() == 4 ? narrow.permute({0, 2, 3, 1}) : narrow).contiguous();
  packed->numbers_ = at::empty({kernels::product_packed_size(w)}, rows.options());
  for_each_task(kernels::product_pack_tasks(w), [&](int64_t task) {
    kernels::product_pack(w, bits_of(rows), bits_of(packed->numbers_), task, task + 1);
  });
  return packed;
}

bool has_packed_products() {
  kernels::ProductWeights any;
  any.outputs = any.inputs = kFewest;
  any.level = kernels::product_level(any, kernels::Served::kRoundedProduct);
  return kernels::product_fits(any);
}

bool has_int8_products() { return kernels::multiplies_bytes(kernels::chosen_level()); }

std::shared_ptr<const PackedWeight> PackedWeight::pack_int8(const at::Tensor& weight,
                                                            const at::Tensor& bias,
                                                            Activation activation,
                                                            const Int8Layer& layer) {
  const kernels::ProductWeights w = product_weights(weight.sizes(), activation);
  if (!weight.is_cpu() || !kernels::int8_fits(w, kernels::chosen_level())) return nullptr;
  const Int8Layer given = layer.codes.defined() ? layer : int8_layer_of(weight);
  const at::Tensor rows =
      (weight.dim() == 4 ? given.codes.permute({0, 2, 3, 1}) : given.codes).contiguous();
  const at::Tensor factors = given.factors.contiguous();
  const std::shared_ptr<PackedWeight> packed(new PackedWeight);
  packed->int8_ = true;
  packed->numbers_ = at::empty({kernels::int8_packed_size(w)}, rows.options());
  packed->sizes_ = weight.sizes().vec();
  packed->activation_ = activation;
  packed->type_ = weight.scalar_type() == at::kFloat ? at::kFloat : at::kBFloat16;
  if (bias.defined()) packed->bias_ = bias.detach().to(at::kFloat).contiguous();
  for_each_task(kernels::product_pack_tasks(w), [&](int64_t task) {
    kernels::int8_pack(w, rows.const_data_ptr<int8_t>(), factors.const_data_ptr<float>(),
                       static_cast<std::byte*>(packed->numbers_.data_ptr()), task, task + 1);
  });
  return packed;
}

std::shared_ptr<const PackedWeight> PackedWeight::compared(
    const std::shared_ptr<const PackedWeight>& other,
    const std::shared_ptr<Int8Error>& error) const {
  const std::shared_ptr<PackedWeight> both(new PackedWeight(*this));
  both->other_ = other, both->error_ = error;
  return both;
}

// Shared by linear() and conv2d(), which `run` calls with another weight and epilogue.
void PackedWeight::compare(
    const Epilogue& epilogue,
    const std::function<at::Tensor(const PackedWeight&, const Epilogue&)>& run) const {
  const Epilogue alone{.activation = epilogue.activation};
  PackedWeight own(*this);
  own.other_ = nullptr;
  const at::Tensor exact = run(own, alone).to(at::kDouble);
  const at::Tensor other = run(*other_, alone).to(at::kDouble);
  error_->differences += (other - exact).square().sum().item<double>();
  error_->results += exact.square().sum().item<double>();
}

at::Tensor PackedWeight::unpacked() const {
  if (fast_) return fast_->unpacked().to(type_);
  kernels::ProductWeights w = product_weights(sizes_, activation_);
  w.level = level_;
  at::Tensor rows = at::empty({w.outputs, w.high, w.wide, w.inputs}, numbers_.options());
  if (int8_) {
    const at::Tensor factors = at::empty({w.outputs}, rows.options().dtype(at::kFloat));
    kernels::int8_unpack(w, static_cast<const std::byte*>(numbers_.const_data_ptr()),
                         rows.mutable_data_ptr<int8_t>(), factors.mutable_data_ptr<float>());
    rows = rows.to(at::kFloat) * factors.view({-1, 1, 1, 1});
  } else {
    kernels::product_unpack(w, bits_of(numbers_), bits_of(rows));
  }
  rows = rows.to(type_);
  return sizes_.size() == 4 ? rows.permute({0, 3, 1, 2}) : rows.view(sizes_);
}

at::Tensor PackedWeight::product(const Places& places, const Epilogue& epilogue) const {
  kernels::ProductProblem p = places.problem;
  // The kernel trusts its caller in this.
  if ((activation_ == Activation::kGeglu) != (epilogue.activation == Activation::kGeglu)) {
    throw Error(ErrorCode::kInternal, "a weight is packed for GEGLU or used with it, but not both");
  }
  if (p.x_pixel != sizes_[1]) throw other_width(sizes_[1], p.x_pixel);
  p.weights = product_weights(sizes_, activation_);
  p.weights.level = level_;
  if (!int8_) p.packed = bits_of(numbers_);
  if (bias_.defined()) p.bias = bias_.const_data_ptr<float>();
  const ProductResults results(p, places.sizes, places.format, type_, epilogue);
  if (int8_) {
    const kernels::Level level = kernels::chosen_level();
    const kernels::Int8Problem q{p, static_cast<const std::byte*>(numbers_.const_data_ptr()),
                                 places.x.const_data_ptr<uint8_t>(),
                                 places.factors.const_data_ptr<float>()};
    for_each_task(kernels::int8_tasks(q),
                  [&](int64_t task) { kernels::int8_run(q, task, task + 1, level); });
  } else {
    for_each_task(kernels::product_tasks(p),
                  [&](int64_t task) { kernels::product_run(p, task, task + 1); });
  }
  return results.finished();
}

// Rounds the input to what the kernel takes.
void PackedWeight::set_input(Places& places, const at::Tensor& x, const Prologue& prologue) const {
  if (int8_) {
    const Int8Input input = int8_input(x, prologue, places.format);
    places.x = input.codes, places.factors = input.factors;
  } else {
    places.x = rounded_input(x, prologue).contiguous(places.format);
    places.problem.x = bits_of(places.x);
  }
}

at::Tensor PackedWeight::linear(const at::Tensor& input, const Prologue& prologue,
                                const Epilogue& epilogue) const {
  if (other_) {
    compare(epilogue, [&](const PackedWeight& weight, const Epilogue& alone) {
      return weight.linear(input, prologue, alone);
    });
  }
  Places places;
  set_input(places, input, prologue);
  places.sizes = places.x.sizes().vec();
  places.sizes.back() = product_weights(sizes_, activation_).results();
  const int64_t inputs = places.x.size(-1);
  places.problem.x_pixel = inputs;
  places.problem.width = places.x.numel() / inputs;
  return product(places, epilogue);
}

at::Tensor PackedWeight::conv2d(const at::Tensor& input, const ConvShape& shape,
                                const Prologue& prologue, const Epilogue& epilogue) const {
  if (other_) {
    compare(epilogue, [&](const PackedWeight& weight, const Epilogue& alone) {
      return weight.conv2d(input, shape, prologue, alone);
    });
  }
  if (input.size(1) != sizes_[1]) throw other_width(sizes_[1], input.size(1));
  const auto& fast = prologue.doubles && enlarging_ ? enlarging_ : fast_;
  if (fast) return fast->run(input, bias_, type_, prologue, epilogue);
  Places places;
  places.format = at::MemoryFormat::ChannelsLast;
  Prologue before = prologue;
  before.doubles = false;  // the kernel does it
  set_input(places, input, before);
  kernels::ProductProblem& p = places.problem;
  p.doubles = prologue.doubles;
  p.weights = product_weights(sizes_, activation_);
  p.x_pixel = places.x.size(1);
  p.batch = places.x.size(0), p.height = places.x.size(2), p.width = places.x.size(3);
  p.stride = shape.stride, p.padding = shape.padding;
  places.sizes = {p.batch, p.weights.results(), p.out_height(), p.out_width()};
  return product(places, epilogue);
}

void pack_module(torch::nn::Module& module, const std::string& name, const PackOptions& options) {
  options.watch.check();
  pack_layer(module.as<LinearImpl>(), name, options);
  pack_layer(module.as<Conv2dImpl>(), name, options);
}

at::Tensor packed_placeholder(at::IntArrayRef sizes, at::ScalarType type) {
  return at::full({1}, std::numeric_limits<double>::quiet_NaN(), at::TensorOptions(type))
      .expand(sizes);
}

// The network itself is visited apart, for a module on the stack is in no shared pointer.
void pack_weights(torch::nn::Module& network, const PackOptions& options) {
  pack_module(network, "", options);
  for (const auto& module : network.named_modules("", /*include_self=*/false)) {
    pack_module(*module.value(), module.key(), options);
  }
}

void for_each_parameter(const torch::nn::Module& network,
                        const std::function<void(const std::string&, const at::Tensor&)>& visit) {
  visit_own(network, "", visit);
  for (const auto& module : network.named_modules("", /*include_self=*/false)) {
    visit_own(*module.value(), module.key() + ".", visit);
  }
}

}  // namespace pangu::nn
