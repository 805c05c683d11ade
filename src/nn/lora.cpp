// Products of low-rank factors, added to weights.
#include "nn/lora.h"

#include <torch/nn.h>

#include "core/error.h"
#include "nn/weights.h"

namespace pangu::nn {
namespace {

std::string shape_of(const at::Tensor& tensor) {
  return tensor.defined() ? c10::str(tensor.sizes()) : "nothing";
}

// Parameters by name; handles, so that set_data reaches the network.
TensorMap parameters_of(const torch::nn::Module& network) {
  TensorMap parameters;
  for (const auto& item : network.named_parameters()) parameters[item.key()] = item.value();
  return parameters;
}

// Throws unless the factors give a matrix or kernel of the weight's shape.
void check_change(const LoraWeights& change, const at::Tensor& weight) {
  const auto fail = [&](const std::string& part, const std::string& expected,
                        const at::Tensor& found) -> Error {
    return bad_input("LoRA of module '" + change.module_path + "', tensor '" + part + "'",
                     expected + " for a weight of " + shape_of(weight), shape_of(found),
                     "was it made for another model?");
  };
  const auto is_pointwise = [](const at::Tensor& t) {
    return t.dim() == 2 || (t.dim() == 4 && t.size(2) == 1 && t.size(3) == 1);
  };
  const auto floating = [](const at::Tensor& t) {
    return t.defined() && t.is_floating_point() && t.numel() > 0;
  };
  const at::Tensor &down = change.down, &up = change.up, &mid = change.mid;
  if (weight.dim() != 2 && weight.dim() != 4) {
    throw bad_input("LoRA of module '" + change.module_path + "'",
                    "a linear or convolutional module", "a weight of " + shape_of(weight));
  }
  if (!floating(down) || (down.dim() != 2 && down.dim() != 4) || down.size(1) != weight.size(1)) {
    throw fail("down", "[rank," + std::to_string(weight.size(1)) + ",..]", down);
  }
  const int64_t rank = down.size(0);
  if (!floating(up) || !is_pointwise(up) || up.size(0) != weight.size(0) || up.size(1) != rank) {
    throw fail("up", "[" + std::to_string(weight.size(0)) + "," + std::to_string(rank) + "]", up);
  }
  // The spatial part is in `mid` when there is one, else in `down`.
  const at::Tensor& spatial = mid.defined() ? mid : down;
  const std::string part = mid.defined() ? "mid" : "down";
  if (mid.defined()) {
    if (!floating(mid) || mid.dim() != 4 || mid.size(0) != rank || mid.size(1) != rank) {
      throw fail("mid", "[" + std::to_string(rank) + "," + std::to_string(rank) + ",kh,kw]", mid);
    }
    if (!is_pointwise(down)) throw fail("down", "a pointwise factor beside 'mid'", down);
  }
  const bool weight_pointwise = is_pointwise(weight);
  const bool fits = weight_pointwise ? is_pointwise(spatial)
                                     : spatial.dim() == 4 && spatial.size(2) == weight.size(2) &&
                                           spatial.size(3) == weight.size(3);
  if (!fits) throw fail(part, "the kernel's size", spatial);
}

// up @ down in f32, in the weight's shape.
at::Tensor product_of(const LoraWeights& change, const at::Tensor& weight) {
  const auto factor = [&](const at::Tensor& t) { return t.to(weight.device(), at::kFloat); };
  const at::Tensor up = factor(change.up).flatten(1);      // [out,rank]
  const at::Tensor down = factor(change.down).flatten(1);  // [rank,in] or [rank,in*kh*kw]
  if (!change.mid.defined()) return at::matmul(up, down).view(weight.sizes());
  // sum over r, s of up[o,r] mid[r,s,y,x] down[s,i]
  const at::Tensor mid = factor(change.mid);
  const at::Tensor outer =
      at::matmul(up, mid.flatten(1))
          .view({up.size(0), mid.size(1), mid.size(2), mid.size(3)});  // [out,rank,kh,kw]
  return at::einsum("osyx,si->oiyx", {outer, down}).reshape(weight.sizes());
}

}  // namespace

BaseWeights merge_lora(torch::nn::Module& network, const std::vector<LoraWeights>& changes,
                       double scale, const Watch& watch) {
  const at::NoGradGuard no_grad;
  const TensorMap parameters = parameters_of(network);
  std::map<std::string, std::vector<const LoraWeights*>> by_weight;
  for (const LoraWeights& change : changes) {
    const std::string name = change.module_path + ".weight";
    const auto found = parameters.find(name);
    if (found == parameters.end()) {
      throw bad_input("LoRA", "a module of the network", "'" + change.module_path + "'",
                      "was it made for another model?");
    }
    check_change(change, found->second);
    by_weight[name].push_back(&change);
  }
  BaseWeights base;
  for (const auto& [name, all] : by_weight) {
    watch.check();
    at::Tensor parameter = parameters.at(name);
    const at::Tensor before = parameter.detach();
    at::Tensor sum = before.to(at::kFloat);
    for (const LoraWeights* change : all) {
      const double factor = scale * change->alpha / static_cast<double>(change->down.size(0));
      sum = sum.add(product_of(*change, before), factor);
    }
    base[name] = before;
    parameter.set_data(sum.to(before.scalar_type()).contiguous(before.suggest_memory_format()));
  }
  return base;
}

void unmerge_lora(torch::nn::Module& network, const BaseWeights& base) {
  const at::NoGradGuard no_grad;
  const TensorMap parameters = parameters_of(network);
  for (const auto& [name, weight] : base) {
    const auto found = parameters.find(name);
    if (found == parameters.end() || found->second.sizes() != weight.sizes()) {
      throw bad_input("LoRA", "to be taken from the network that it was merged into",
                      "one without '" + name + "' " + shape_of(weight));
    }
  }
  for (const auto& [name, weight] : base) {
    at::Tensor parameter = parameters.at(name);
    parameter.set_data(weight);
  }
}

}  // namespace pangu::nn
