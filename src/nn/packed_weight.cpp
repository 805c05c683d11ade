#include "nn/packed_weight.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "core/error.h"
#include "kernels/packed_product.h"
#include "nn/bf16_bits.h"
#include "nn/conv.h"
#include "nn/fused_norm.h"
#include "nn/linear.h"
#include "nn/parallel.h"

namespace pangu::nn {
namespace {

kernels::ProductWeights product_weights(at::IntArrayRef sizes, Activation activation) {
  kernels::ProductWeights w;
  w.outputs = sizes[0], w.inputs = sizes[1];
  if (sizes.size() == 4) w.high = sizes[2], w.wide = sizes[3];
  if (activation == Activation::kGeglu) w.activation = kernels::ProductActivation::kGeglu;
  return w;
}

// The activations that the kernel computes; the others follow it.
std::optional<kernels::ProductActivation> fused(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return kernels::ProductActivation::kNone;
    case Activation::kSilu:
      return kernels::ProductActivation::kSilu;
    case Activation::kGelu:
      return kernels::ProductActivation::kGelu;
    case Activation::kGeglu:
      return kernels::ProductActivation::kGeglu;
    default:
      return {};
  }
}

// Layers of fewer inputs or outputs are not rounded.
constexpr int64_t kFewest = 16;

// The input of a product in bf16.
at::Tensor rounded_input(const at::Tensor& x, const Prologue& prologue) {
  if (prologue.group_norm) {
    return group_norm_to_bf16(x, prologue.group_norm, prologue.activation, prologue.shift);
  }
  return before_product(x, prologue).to(at::kBFloat16);
}

at::Tensor placeholder(const at::Tensor& weight) {
  return at::full({1}, std::numeric_limits<double>::quiet_NaN(), weight.options())
      .expand(weight.sizes());
}

template <class Layer>
void pack_layer(Layer* layer, const PackOptions& options) {
  if (!layer || layer->packed()) return;  // a layer may be in two modules
  layer->pack(options.packing);
  if (!layer->packed()) return;
  if (options.copied) options.copied(layer->weight);
  layer->weight.set_data(placeholder(layer->weight));
}

void pack_module(torch::nn::Module& module, const PackOptions& options) {
  pack_layer(module.as<LinearImpl>(), options);
  pack_layer(module.as<Conv2dImpl>(), options);
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
  at::Tensor x;  // kept alive
  kernels::ProductProblem problem;
  std::vector<int64_t> sizes;  // of the result
  at::MemoryFormat format = at::MemoryFormat::Contiguous;
};

std::shared_ptr<const PackedWeight> PackedWeight::pack(const at::Tensor& weight,
                                                       const at::Tensor& bias,
                                                       Activation activation, Packing packing) {
  const kernels::ProductWeights w = product_weights(weight.sizes(), activation);
  const bool rounds = packing == Packing::kRounds && weight.scalar_type() == at::kFloat &&
                      std::min(w.inputs, w.outputs) >= kFewest;
  if (!weight.is_cpu() || !(rounds || weight.scalar_type() == at::kBFloat16)) return nullptr;
  if (!kernels::product_fits(w, kernels::chosen_level())) return nullptr;
  const std::shared_ptr<PackedWeight> packed(new PackedWeight);
  const at::Tensor narrow = weight.detach().to(at::kBFloat16);
  const at::Tensor rows = (weight.dim() == 4 ? narrow.permute({0, 2, 3, 1}) : narrow).contiguous();
  packed->numbers_ = at::empty({kernels::product_packed_size(w)}, rows.options());
  packed->sizes_ = weight.sizes().vec();
  packed->activation_ = activation;
  packed->type_ = weight.scalar_type();
  if (bias.defined()) packed->bias_ = bias.detach().to(at::kFloat).contiguous();
  for_each_task(kernels::product_pack_tasks(w), [&](int64_t task) {
    kernels::product_pack(w, bits_of(rows), bits_of(packed->numbers_), task, task + 1);
  });
  return packed;
}

bool has_packed_products() {
  kernels::ProductWeights any;
  any.outputs = any.inputs = kFewest;
  return kernels::product_fits(any, kernels::chosen_level());
}

at::Tensor PackedWeight::unpacked() const {
  const kernels::ProductWeights w = product_weights(sizes_, activation_);
  at::Tensor rows = at::empty({w.outputs, w.high, w.wide, w.inputs}, numbers_.options());
  kernels::product_unpack(w, bits_of(numbers_), bits_of(rows));
  rows = rows.to(type_);
  return sizes_.size() == 4 ? rows.permute({0, 3, 1, 2}) : rows.view(sizes_);
}

at::Tensor PackedWeight::product(const Places& places, const Epilogue& epilogue) const {
  kernels::ProductProblem p = places.problem;
  const auto activation = fused(epilogue.activation);
  // The kernel trusts its caller in both.
  if ((activation_ == Activation::kGeglu) != (epilogue.activation == Activation::kGeglu)) {
    throw Error(ErrorCode::kInternal, "a weight is packed for GEGLU or used with it, but not both");
  }
  if (p.x_pixel != sizes_[1]) {
    throw Error(ErrorCode::kInternal, "a product of " + std::to_string(sizes_[1]) + " inputs got " +
                                          std::to_string(p.x_pixel));
  }
  p.weights = product_weights(sizes_, activation_);
  p.weights.activation = activation.value_or(kernels::ProductActivation::kNone);
  p.packed = bits_of(numbers_);
  if (bias_.defined()) p.bias = bias_.const_data_ptr<float>();
  at::Tensor residual;
  if (epilogue.residual.defined() && activation) {
    residual = epilogue.residual.to(type_).expand(places.sizes).contiguous(places.format);
    p.residual_pixel = p.weights.results();
    type_ == at::kFloat ? void(p.wide_residual = residual.const_data_ptr<float>())
                        : void(p.residual = bits_of(residual));
  }
  const at::Tensor out =
      at::empty(places.sizes, numbers_.options().dtype(type_).memory_format(places.format));
  p.out_pixel = p.weights.results();
  type_ == at::kFloat ? void(p.wide_out = out.mutable_data_ptr<float>())
                      : void(p.out = bits_of(out));
  const kernels::Level level = kernels::chosen_level();
  for_each_task(kernels::product_tasks(p),
                [&](int64_t task) { kernels::product_run(p, task, task + 1, level); });
  return activation ? out : after_product(out, epilogue);
}

at::Tensor PackedWeight::linear(const at::Tensor& input, const Prologue& prologue,
                                const Epilogue& epilogue) const {
  Places places;
  places.x = rounded_input(input, prologue).contiguous();
  places.sizes = places.x.sizes().vec();
  places.sizes.back() = product_weights(sizes_, activation_).results();
  const int64_t inputs = places.x.size(-1);
  places.problem.x = bits_of(places.x), places.problem.x_pixel = inputs;
  places.problem.width = places.x.numel() / inputs;
  return product(places, epilogue);
}

at::Tensor PackedWeight::conv2d(const at::Tensor& input, const ConvShape& shape,
                                const Prologue& prologue, const Epilogue& epilogue) const {
  Places places;
  places.format = at::MemoryFormat::ChannelsLast;
  Prologue before = prologue;
  before.doubles = false;  // the kernel does it
  places.x = rounded_input(input, before).contiguous(places.format);
  kernels::ProductProblem& p = places.problem;
  p.doubles = prologue.doubles;
  p.weights = product_weights(sizes_, activation_);
  p.x = bits_of(places.x), p.x_pixel = places.x.size(1);
  p.batch = places.x.size(0), p.height = places.x.size(2), p.width = places.x.size(3);
  p.stride = shape.stride, p.padding = shape.padding;
  places.sizes = {p.batch, p.weights.results(), p.out_height(), p.out_width()};
  return product(places, epilogue);
}

// The network itself is visited apart, for a module on the stack is in no shared pointer.
void pack_weights(torch::nn::Module& network, const PackOptions& options) {
  pack_module(network, options);
  for (const auto& module : network.modules(/*include_self=*/false)) {
    options.watch.check();
    pack_module(*module, options);
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
