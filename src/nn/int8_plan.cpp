#include "nn/int8_plan.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "core/error.h"
#include "kernels/int8_product.h"
#include "nn/bf16_bits.h"
#include "nn/conv.h"
#include "nn/linear.h"
#include "nn/parallel.h"
#include "nn/product_results.h"

namespace pangu::nn {
namespace {

// Layers of fewer inputs or outputs cost little, and carry what a network reads and writes.
constexpr int64_t kFewestInt8Channels = 32;

// Layers whose rows are few: parts of their names.
constexpr std::array<std::string_view, 6> kOfFewRows = {"time_embedding", "time_emb_proj",
                                                        "add_embedding",  "class_embedding",
                                                        "attn2.to_k",     "attn2.to_v"};

bool has_few_rows(std::string_view name) {
  return std::any_of(kOfFewRows.begin(), kOfFewRows.end(), [&](std::string_view part) {
    return name.find(part) != std::string_view::npos;
  });
}

// The weight of a module that is a layer, or an undefined tensor.
at::Tensor weight_of(const torch::nn::Module& module) {
  if (const auto* linear = module.as<LinearImpl>()) return linear->weight;
  if (const auto* conv = module.as<Conv2dImpl>()) return conv->weight;
  return {};
}

std::string weight_name(const std::string& layer) { return layer + ".weight"; }
std::string factors_name(const std::string& layer) { return layer + ".weight_scale"; }

const at::Tensor& tensor_of(const tensors::TensorMap& tensors, const std::string& name,
                            at::IntArrayRef sizes, at::ScalarType type) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) throw bad_input("int8 weights", "a tensor '" + name + "'", "none");
  if (found->second.sizes() != sizes || found->second.scalar_type() != type) {
    throw bad_input("int8 weights, tensor '" + name + "'", "the sizes and type of the layer's",
                    "others", "are they of another model?");
  }
  return found->second;
}

}  // namespace

Int8Plan default_int8_plan(const torch::nn::Module& network) {
  Int8Plan plan;
  for (const auto& module : network.named_modules("", /*include_self=*/false)) {
    const at::Tensor weight = weight_of(*module.value());
    if (!weight.defined() || has_few_rows(module.key())) continue;
    if (std::min(weight.size(0), weight.size(1)) < kFewestInt8Channels) continue;
    if (kernels::int8_fits(product_weights(weight.sizes()), kernels::chosen_level())) {
      plan[module.key()] = {};
    }
  }
  return plan;
}

double Int8Error::relative() const { return results > 0 ? std::sqrt(differences / results) : 0; }

tensors::TensorMap plan_tensors(const Int8Plan& plan) {
  tensors::TensorMap tensors;
  for (const auto& [name, layer] : plan) {
    tensors[weight_name(name)] = layer.codes;
    tensors[factors_name(name)] = layer.factors;
  }
  return tensors;
}

Int8Plan plan_from_tensors(const tensors::TensorMap& tensors, const torch::nn::Module& network) {
  Int8Plan plan;
  size_t read = 0;
  for (const auto& module : network.named_modules("", /*include_self=*/false)) {
    const std::string& name = module.key();
    const at::Tensor weight = weight_of(*module.value());
    if (!weight.defined() || !tensors.contains(weight_name(name))) continue;
    plan[name] = {tensor_of(tensors, weight_name(name), weight.sizes(), at::kChar),
                  tensor_of(tensors, factors_name(name), {weight.size(0)}, at::kFloat)};
    read += 2;
  }
  if (read == tensors.size()) return plan;
  for (const auto& [name, tensor] : tensors) {
    const std::string layer = name.substr(0, name.rfind(".weight"));
    if (!plan.contains(layer)) {
      throw bad_input("int8 weights", "only tensors of the network's layers", "'" + name + "'",
                      "are they of another model?");
    }
  }
  return plan;
}

Int8Layer int8_layer_of(const at::Tensor& weight) {
  const at::Tensor narrow = weight.detach().to(at::kBFloat16);
  const bool conv = weight.dim() == 4;
  const at::Tensor rows = (conv ? narrow.permute({0, 2, 3, 1}) : narrow).contiguous();
  const at::Tensor codes = at::empty(rows.sizes(), rows.options().dtype(at::kChar));
  const at::Tensor factors = at::empty({weight.size(0)}, rows.options().dtype(at::kFloat));
  const kernels::ProductWeights w = product_weights(weight.sizes());
  auto* const bytes = codes.mutable_data_ptr<int8_t>();
  auto* const scales = factors.mutable_data_ptr<float>();
  for_each_task(w.outputs, [&](int64_t output) {
    kernels::int8_round(w, bits_of(rows), bytes, scales, output, output + 1);
  });
  return {conv ? codes.permute({0, 3, 1, 2}) : codes, factors};
}

}  // namespace pangu::nn
