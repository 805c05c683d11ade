// Adds products of an adapter's parts to weights.
#include "nn/lora.h"

#include <torch/nn.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "nn/weights.h"

namespace pangu::nn {
namespace {

std::string shape_of(const at::Tensor& tensor) {
  return tensor.defined() ? c10::str(tensor.sizes()) : "nothing";
}

// Parameters by name. The tensors are handles, so that set_data on them changes the network.
TensorMap parameters_of(const torch::nn::Module& network) {
  TensorMap parameters;
  for (const auto& item : network.named_parameters()) parameters[item.key()] = item.value();
  return parameters;
}

std::vector<int64_t> sides_of(const TensorMap& parameters, const std::string& name) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::vector<int64_t>() : found->second.sizes().vec();
}

// Throws unless the parts give a change of the module.
void check_change(const LoraWeights& change, const TensorMap& parameters) {
  const std::string module = "LoRA of module '" + change.module_path + "'";
  const io::ModuleShape shape = {sides_of(parameters, change.module_path + ".weight"),
                                 sides_of(parameters, change.module_path + ".bias")};
  if (shape.weight.empty()) {
    throw bad_input("LoRA", "a module of the network", "'" + change.module_path + "'",
                    "was it made for another model?");
  }
  io::LoraShapes shapes;
  for (const auto& [part, tensor] : change.parts) {
    if (!tensor.defined() || !tensor.is_floating_point() || tensor.numel() == 0) {
      throw bad_input(module + ", tensor '" + io::name_of(part) + "'", "floating-point numbers",
                      shape_of(tensor));
    }
    shapes[part] = tensor.sizes().vec();
  }
  if (const auto misfit = io::lora_misfit(change.form, shapes, shape)) {
    throw bad_input(module + ", tensor '" + io::name_of(misfit->part) + "'", misfit->expected,
                    misfit->found, "was it made for another model?");
  }
}

// The parts of one change in f32, on the weight's device.
class Parts {
 public:
  Parts(const LoraWeights& change, const at::Tensor& weight) : change_(change), weight_(weight) {}

  bool has(LoraPart part) const { return change_.parts.contains(part); }
  at::Tensor operator()(LoraPart part) const {
    return change_.parts.at(part).to(weight_.device(), at::kFloat);
  }
  // Returns a part as a matrix; the kernel is flattened into the columns.
  at::Tensor matrix(LoraPart part) const { return (*this)(part).flatten(1); }

  // Returns the product in the weight's shape.
  at::Tensor product() const {
    switch (change_.form) {
      case LoraForm::kLowRank:
        return low_rank().view(weight_.sizes());
      case LoraForm::kHadamard:
        return (factors(LoraPart::kW1A, LoraPart::kW1B, LoraPart::kT1) *
                factors(LoraPart::kW2A, LoraPart::kW2B, LoraPart::kT2))
            .reshape(weight_.sizes());
      case LoraForm::kKronecker:
        return kronecker().reshape(weight_.sizes());
      case LoraForm::kDifference:
        break;
    }
    return (*this)(LoraPart::kDifference).reshape(weight_.sizes());
  }

 private:
  at::Tensor low_rank() const {
    const at::Tensor up = matrix(LoraPart::kUp);      // [out,rank]
    const at::Tensor down = matrix(LoraPart::kDown);  // [rank,in] or [rank,in*kh*kw]
    if (!has(LoraPart::kMid)) return at::matmul(up, down);
    // sum over r, s of up[o,r] mid[r,s,y,x] down[s,i]
    const at::Tensor mid = (*this)(LoraPart::kMid);
    const at::Tensor outer =
        at::matmul(up, mid.flatten(1))
            .view({up.size(0), mid.size(1), mid.size(2), mid.size(3)});  // [out,rank,kh,kw]
    return at::einsum("osyx,si->oiyx", {outer, down}).contiguous();
  }

  // Returns a @ b, [rows, columns * kernel]; in Tucker's form the sum over r, s of t[r,s,y,x]
  // a[r,o] b[s,i].
  at::Tensor factors(LoraPart a, LoraPart b, LoraPart tucker) const {
    if (!has(tucker)) return at::matmul(matrix(a), matrix(b));
    return at::einsum("rsyx,ro,si->oiyx", {(*this)(tucker), matrix(a), matrix(b)});
  }

  // The small factor is the same over the kernel of the large one.
  at::Tensor kronecker() const {
    at::Tensor small = has(LoraPart::kW1)
                           ? (*this)(LoraPart::kW1)
                           : at::matmul((*this)(LoraPart::kW1A), (*this)(LoraPart::kW1B));
    const at::Tensor large = has(LoraPart::kW2)
                                 ? (*this)(LoraPart::kW2)
                                 : factors(LoraPart::kW2A, LoraPart::kW2B, LoraPart::kT2);
    while (small.dim() < large.dim()) small = small.unsqueeze(-1);
    return at::kron(small, large.contiguous());
  }

  const LoraWeights& change_;
  const at::Tensor& weight_;
};

// Returns DoRA's difference: `changed` with the norms of its rows or columns replaced, minus the
// base.
at::Tensor with_norms(const at::Tensor& changed, const Parts& parts, const at::Tensor& base) {
  const bool of_rows = parts.has(LoraPart::kOutputNorms);
  const at::Tensor wanted = parts(of_rows ? LoraPart::kOutputNorms : LoraPart::kInputNorms);
  const int64_t axis = of_rows ? 0 : 1;
  std::vector<int64_t> others;
  std::vector<int64_t> along(static_cast<size_t>(changed.dim()), 1);
  for (int64_t i = 0; i < changed.dim(); ++i) {
    if (i != axis) others.push_back(i);
  }
  along[static_cast<size_t>(axis)] = changed.size(axis);
  // A row of zeros has no direction, and stays zero.
  const at::Tensor norms = at::linalg_vector_norm(changed, 2, others, /*keepdim=*/true)
                               .clamp_min(std::numeric_limits<float>::min());
  return changed * (wanted.reshape(along) / norms) - base;
}

bool changes_weight(const LoraWeights& change) {
  return change.form != LoraForm::kDifference || change.parts.contains(LoraPart::kDifference) ||
         change.parts.contains(LoraPart::kOutputNorms) ||
         change.parts.contains(LoraPart::kInputNorms);
}

// Adds weight * dW to `sum`. base: f32.
at::Tensor plus_change(const at::Tensor& sum, const LoraWeights& change, const at::Tensor& base,
                       double scale) {
  const Parts parts(change, base);
  const double factor = scale * (change.weight * change.alpha) / change.rank;
  const bool has_norms = parts.has(LoraPart::kOutputNorms) || parts.has(LoraPart::kInputNorms);
  if (!has_norms) return sum.add(parts.product(), factor);
  const bool has_product = change.form != LoraForm::kDifference || parts.has(LoraPart::kDifference);
  const at::Tensor changed =
      has_product ? base.add(parts.product(), change.alpha / change.rank) : base;
  return sum.add(with_norms(changed, parts, base), scale * change.weight);
}

at::Tensor plus_bias(at::Tensor sum, const LoraWeights& change, double scale) {
  const Parts parts(change, sum);
  if (parts.has(LoraPart::kBias)) {
    sum = sum.add(parts(LoraPart::kBias).flatten(), scale * change.weight);
  }
  if (parts.has(LoraPart::kScaledBias)) {
    sum = sum.add(parts(LoraPart::kScaledBias).flatten(),
                  scale * change.weight * change.alpha / change.rank);
  }
  return sum;
}

}  // namespace

BaseWeights merge_lora(torch::nn::Module& network, const std::vector<LoraWeights>& changes,
                       double scale, const Watch& watch) {
  const at::NoGradGuard no_grad;
  const TensorMap parameters = parameters_of(network);
  std::map<std::string, std::vector<const LoraWeights*>> by_parameter;
  for (const LoraWeights& change : changes) {
    check_change(change, parameters);
    if (changes_weight(change)) by_parameter[change.module_path + ".weight"].push_back(&change);
    if (change.parts.contains(LoraPart::kBias) || change.parts.contains(LoraPart::kScaledBias)) {
      by_parameter[change.module_path + ".bias"].push_back(&change);
    }
  }
  TensorMap merged;
  for (const auto& [name, all] : by_parameter) {
    watch.check();
    const at::Tensor before = parameters.at(name).detach();
    const at::Tensor base = before.to(at::kFloat);
    at::Tensor sum = base;
    for (const LoraWeights* change : all) {
      sum = name.ends_with(".bias") ? plus_bias(sum, *change, scale)
                                    : plus_change(sum, *change, base, scale);
    }
    at::Tensor rounded = sum.to(before.scalar_type()).contiguous(before.suggest_memory_format());
    if (!at::isfinite(rounded).all().item<bool>()) {
      throw bad_input("'" + name + "' with its LoRAs", "finite numbers", "some that are not",
                      "is the weight of a LoRA too large?");
    }
    merged[name] = std::move(rounded);
  }
  BaseWeights base;
  for (const auto& [name, weight] : merged) {
    at::Tensor parameter = parameters.at(name);
    base[name] = parameter.detach();
    parameter.set_data(weight);
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
