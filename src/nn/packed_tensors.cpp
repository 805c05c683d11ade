#include "nn/packed_tensors.h"

#include <ATen/ATen.h>
#include <torch/nn.h>

#include <map>
#include <utility>

#include "core/hash.h"
#include "nn/conv.h"
#include "nn/linear.h"

namespace pangu::nn {
namespace {

constexpr const char* kWeight = "weight";
constexpr char kBeforeOrder = ':';

template <class Visit>
void for_each_module(const torch::nn::Module& network, const Visit& visit) {
  visit("", network);
  for (const auto& module : network.named_modules("", /*include_self=*/false)) {
    visit(module.key() + ".", *module.value());
  }
}

std::shared_ptr<const PackedWeight> packed_weight_of(const torch::nn::Module& module) {
  if (const auto* linear = module.as<LinearImpl>()) return linear->packed();
  if (const auto* conv = module.as<Conv2dImpl>()) return conv->packed();
  return nullptr;
}

bool take_numbers(torch::nn::Module& module, const std::map<std::string, at::Tensor>& numbers,
                  Packing packing) {
  if (auto* linear = module.as<LinearImpl>()) return linear->take_packed(numbers, packing);
  if (auto* conv = module.as<Conv2dImpl>()) return conv->take_packed(numbers, packing);
  return false;
}

// Takes the tensors out of the map whose names begin so, by the rest of their names.
std::map<std::string, at::Tensor> taken_with(const std::string& prefix, TensorMap& tensors) {
  std::map<std::string, at::Tensor> taken;
  auto it = tensors.lower_bound(prefix);
  while (it != tensors.end() && it->first.starts_with(prefix)) {
    taken[it->first.substr(prefix.size())] = std::move(it->second);
    it = tensors.erase(it);
  }
  return taken;
}

// Gives the target the tensor of this name; false if there is none that fits.
bool assign_tensor(at::Tensor target, const std::string& name, TensorMap& tensors,
                   at::ScalarType dtype) {
  const auto found = tensors.find(name);
  if (found == tensors.end() || found->second.sizes() != target.sizes()) return false;
  at::Tensor value = std::move(found->second);
  tensors.erase(found);
  const bool is_same_kind =
      target.is_floating_point() ? value.scalar_type() == dtype : !value.is_floating_point();
  if (!is_same_kind) return false;
  if (value.dim() == 4) value = value.contiguous(at::MemoryFormat::ChannelsLast);
  target.set_data(value);
  return true;
}

bool assign_module(torch::nn::Module& module, const std::string& prefix, TensorMap& tensors,
                   at::ScalarType dtype, Packing packing) {
  const auto numbers = taken_with(prefix + kWeight + kBeforeOrder, tensors);
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    at::Tensor target = item.value();
    if (!numbers.empty() && item.key() == kWeight) {
      target.set_data(packed_placeholder(target.sizes(), dtype));
    } else if (!assign_tensor(target, prefix + item.key(), tensors, dtype)) {
      return false;
    }
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    if (!assign_tensor(item.value(), prefix + item.key(), tensors, dtype)) return false;
  }
  return numbers.empty() || take_numbers(module, numbers, packing);
}

}  // namespace

TensorMap packed_tensors(const torch::nn::Module& network) {
  TensorMap tensors;
  for_each_module(network, [&](const std::string& prefix, const torch::nn::Module& module) {
    const auto packed = packed_weight_of(module);
    for (const auto& item : module.named_parameters(/*recurse=*/false)) {
      if (!packed || item.key() != kWeight) {
        tensors[prefix + item.key()] = item.value().detach();
        continue;
      }
      for (const auto& [order, numbers] : packed->numbers()) {
        tensors[prefix + kWeight + kBeforeOrder + order] = numbers;
      }
    }
    for (const auto& item : module.named_buffers(/*recurse=*/false)) {
      tensors[prefix + item.key()] = item.value().detach();
    }
  });
  return tensors;
}

bool assign_packed(torch::nn::Module& network, TensorMap tensors, at::ScalarType dtype,
                   Packing packing) {
  const at::NoGradGuard no_grad;
  if (!assign_module(network, "", tensors, dtype, packing)) return false;
  for (const auto& module : network.named_modules("", /*include_self=*/false)) {
    if (!assign_module(*module.value(), module.key() + ".", tensors, dtype, packing)) return false;
  }
  return tensors.empty();
}

std::string packing_mark(Packing packing) {
  const at::NoGradGuard no_grad;
  // One layer of every order, with a panel that is not full.
  constexpr int64_t kInputs = 32, kOutputs = 80;
  const at::ScalarType type = packing == Packing::kRounds ? at::kFloat : at::kBFloat16;
  const auto weight = [&](at::IntArrayRef sizes) {
    return at::arange(c10::multiply_integers(sizes), at::kFloat).sin().view(sizes).to(type);
  };
  Sha256 hash;
  const auto add = [&](at::IntArrayRef sizes, Activation activation, const ConvShape& shape) {
    const auto packed = PackedWeight::pack(weight(sizes), {}, activation, packing, shape);
    if (!packed) {
      hash.update("none ");
      return;
    }
    for (const auto& [order, numbers] : packed->numbers()) {
      hash.update(order + " ");
      hash.update(std::as_bytes(
          std::span(static_cast<const char*>(numbers.const_data_ptr()), numbers.nbytes())));
    }
  };
  add({kOutputs, kInputs}, Activation::kNone, {});
  add({kOutputs, kInputs}, Activation::kGeglu, {});
  add({kOutputs, kInputs, 1, 1}, Activation::kNone, {});
  add({kOutputs, kInputs, 3, 3}, Activation::kNone, {.stride = 2, .padding = 1});
  add({kOutputs, kInputs, 3, 3}, Activation::kNone, {.padding = 1});
  add({kOutputs, kInputs, 3, 3}, Activation::kNone, {.padding = 1, .may_double = true});
  return hex_of(hash.digest()).substr(0, 16);
}

}  // namespace pangu::nn
