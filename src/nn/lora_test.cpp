#include "nn/lora.h"

#include <doctest/doctest.h>
#include <torch/nn.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "core/error.h"
#include "core/testing.h"
#include "nn/weights.h"

using namespace pangu;
using namespace pangu::nn;

namespace {

struct Pair : torch::nn::Module {
  torch::nn::Linear linear{nullptr};
  torch::nn::Conv2d conv{nullptr};
  torch::nn::LayerNorm norm{nullptr};
  Pair() {
    linear = register_module("linear", torch::nn::Linear(6, 4));
    conv = register_module("conv", torch::nn::Conv2d(5, 3, 3));
    norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({6})));
  }
};

LoraWeights change_of(const char* module, const at::Tensor& down, const at::Tensor& up) {
  LoraWeights change;
  change.module_path = module;
  change.down = down;
  change.up = up;
  change.alpha = static_cast<double>(down.size(0));
  return change;
}

std::string refusal(Pair& network, const std::vector<LoraWeights>& changes) {
  return refusal_of([&] { merge_lora(network, changes, 1.0); });
}

}  // namespace

TEST_CASE("a merge adds scale alpha / rank times the product, in every layout of the file") {
  torch::manual_seed(1);
  Pair network;
  const at::Tensor linear = network.linear->weight.detach().clone();
  const at::Tensor down = at::randn({2, 6}), up = at::randn({4, 2});
  LoraWeights change = change_of("linear", down, up);
  change.alpha = 3;
  merge_lora(network, {change}, 0.5);
  CHECK(at::allclose(network.linear->weight, linear + 0.5 * 3 / 2 * at::matmul(up, down)));
  // Linear layers of SD 1 were 1x1 convolutions: factors of four dimensions fit them.
  change = change_of("linear", -down.view({2, 6, 1, 1}), up.view({4, 2, 1, 1}));
  change.alpha = 3;
  merge_lora(network, {change}, 0.5);
  CHECK(at::allclose(network.linear->weight, linear, 1e-5, 1e-6));
  CHECK(network.linear->weight.requires_grad());
}

TEST_CASE("several changes of one module in one call are rounded once") {
  torch::manual_seed(2);
  Pair network;
  network.to(at::kBFloat16);
  const at::Tensor before = network.linear->weight.detach().clone();
  // A hundred changes, each far below half a step of bf16, together several steps.
  std::vector<LoraWeights> changes;
  const double step = 1e-4;
  for (int i = 0; i < 100; ++i) {
    changes.push_back(change_of("linear", at::ones({1, 6}) * step, at::ones({4, 1})));
  }
  const BaseWeights base = merge_lora(network, changes, 1.0);
  CHECK((network.linear->weight.scalar_type() == at::kBFloat16));
  CHECK(at::equal(network.linear->weight, (before.to(at::kFloat) + 100 * step).to(at::kBFloat16)));
  unmerge_lora(network, base);
  CHECK(at::equal(network.linear->weight, before));
}

TEST_CASE("a merge keeps the layout of convolutions and does not write what it was given") {
  Pair network;
  network.conv->weight.set_data(
      network.conv->weight.detach().contiguous(at::MemoryFormat::ChannelsLast));
  const at::Tensor shared = network.conv->weight.detach(), before = shared.clone();
  merge_lora(network, {change_of("conv", at::ones({2, 5, 3, 3}), at::ones({3, 2, 1, 1}))}, 1.0);
  CHECK(at::equal(shared, before));
  CHECK_FALSE(at::equal(network.conv->weight, before));
  CHECK(network.conv->weight.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST_CASE("a change that does not fit is refused by module and shapes, and nothing is merged") {
  Pair network;
  const at::Tensor before = network.linear->weight.detach().clone();
  const LoraWeights good = change_of("linear", at::ones({2, 6}), at::ones({4, 2}));
  const auto refused = [&](const LoraWeights& bad) { return refusal(network, {good, bad}); };
  CHECK(contains(refused(change_of("other", at::ones({2, 6}), at::ones({4, 2}))), "'other'"));
  CHECK(contains(refused(change_of("norm", at::ones({2, 6}), at::ones({4, 2}))), "'norm'"));
  CHECK(contains(refused(change_of("linear", at::ones({2, 7}), at::ones({4, 2}))), "[2, 7]"));
  CHECK(contains(refused(change_of("linear", at::ones({2, 6}), at::ones({4, 3}))), "[4, 3]"));
  CHECK(contains(refused(change_of("linear", at::ones({2, 6}), at::ones({5, 2}))), "[5, 2]"));
  CHECK(contains(refused(change_of("linear", at::ones({2, 6, 3, 3}), at::ones({4, 2}))), "kernel"));
  CHECK(contains(refused(change_of("conv", at::ones({2, 5}), at::ones({3, 2}))), "kernel"));
  CHECK(contains(refused(change_of("conv", at::ones({2, 5, 3, 1}), at::ones({3, 2}))), "kernel"));
  CHECK(
      contains(refused(change_of("linear", at::ones({2, 6}, at::kInt), at::ones({4, 2}))), "down"));
  CHECK(contains(refused(change_of("linear", at::ones({0, 6}), at::ones({4, 0}))), "down"));
  LoraWeights tucker = change_of("conv", at::ones({2, 5, 1, 1}), at::ones({3, 2, 1, 1}));
  tucker.mid = at::ones({2, 3, 3, 3});
  CHECK(contains(refused(tucker), "mid"));
  tucker.mid = at::ones({2, 2, 3, 3});
  tucker.down = at::ones({2, 5, 3, 3});
  CHECK(contains(refused(tucker), "pointwise"));
  LoraWeights none;
  none.module_path = "linear";
  CHECK(contains(refused(none), "nothing"));
  CHECK(at::equal(network.linear->weight, before));
  CHECK_THROWS_AS(unmerge_lora(network, {{"other.weight", before}}), Error);
}
