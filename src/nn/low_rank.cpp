#include "nn/low_rank.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "nn/conv.h"
#include "nn/linear.h"

namespace pangu::nn {
namespace {

// Returns the target that means this path, or null.
const std::string* target_of(const std::string& path, const std::vector<std::string>& targets) {
  const auto found = std::find_if(targets.begin(), targets.end(), [&](const std::string& target) {
    return path == target || path.ends_with("." + target);
  });
  return found == targets.end() ? nullptr : &*found;
}

struct Thin : torch::nn::Module {
  Thin(const at::Tensor& weight, int64_t rank, double alpha) : change(std::make_shared<LowRank>()) {
    std::vector<int64_t> down = weight.sizes().vec(), up(weight.dim(), 1);
    down[0] = rank;
    up[0] = weight.size(0);
    up[1] = rank;
    change->down = register_parameter("lora_down", torch::empty(down));
    change->up = register_parameter("lora_up", torch::zeros(up));
    change->scale = alpha / double(rank);
    torch::nn::init::kaiming_uniform_(change->down, std::sqrt(5.0));
  }
  std::shared_ptr<LowRank> change;
};

}  // namespace

// Qualified, because ATen has functions of the same names.
at::Tensor low_rank_linear(const at::Tensor& x, const LowRank& change) {
  const at::Tensor input = x.to(change.down.scalar_type()), no_bias;
  const at::Tensor inner = nn::linear(input, change.down.flatten(1), no_bias);
  return nn::linear(inner, change.up.flatten(1), no_bias) * change.scale;
}

at::Tensor low_rank_conv2d(const at::Tensor& x, const LowRank& change, const ConvShape& shape) {
  const at::Tensor input = x.to(change.down.scalar_type()), no_bias;
  const at::Tensor inner = nn::conv2d(input, change.down, no_bias, shape);
  return nn::conv2d(inner, change.up, no_bias, ConvShape{}) * change.scale;
}

void LowRankChanges::add(torch::nn::Module& network, const LowRankOptions& options,
                         const std::string& prefix, const std::string& part) {
  for (at::Tensor& parameter : network.parameters()) parameter.set_requires_grad(false);
  std::set<std::string> met;
  for (const auto& item : network.named_modules("", /*include_self=*/false)) {
    auto* linear = item.value()->as<LinearImpl>();
    auto* conv = item.value()->as<Conv2dImpl>();
    if (!linear && !conv) continue;
    const std::string* target = target_of(item.key(), options.targets);
    if (!target) continue;
    met.insert(*target);
    const auto begins = [&](const std::string& one) { return item.key().starts_with(one); };
    if (std::any_of(options.left_out.begin(), options.left_out.end(), begins)) continue;
    const at::Tensor& weight = linear ? linear->weight : conv->weight;
    const bool has_kernel = weight.dim() == 4 && weight.size(2) * weight.size(3) > 1;
    Layer layer;
    layer.part = part;
    layer.path = item.key();
    layer.rank = has_kernel ? options.kernel_rank : options.rank;
    layer.alpha = has_kernel ? options.kernel_alpha : options.alpha;
    if (layer.rank == 0) continue;
    layer.name = prefix + layer.path;
    std::replace(layer.name.begin(), layer.name.end(), '.', '_');
    const auto thin =
        register_module(layer.name, std::make_shared<Thin>(weight, layer.rank, layer.alpha));
    if (linear) {
      linear->set_change(thin->change);
    } else {
      conv->set_change(thin->change);
    }
    layers_.push_back(std::move(layer));
  }
  for (const std::string& target : options.targets) {
    if (met.contains(target)) continue;
    throw bad_input("target_modules", "ends of the paths of the network's layers",
                    "'" + target + "', which ends none");
  }
}

}  // namespace pangu::nn
