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
  change.parts = {{LoraPart::kDown, down}, {LoraPart::kUp, up}};
  change.rank = static_cast<double>(down.size(0));
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
  // A hundred changes: each is far below half a rounding step of bf16, and together they are
  // several steps.
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

TEST_CASE("DoRA scales rows or columns of the changed weight to the norms of the file") {
  torch::manual_seed(3);
  for (const bool of_rows : {true, false}) {
    CAPTURE(of_rows);
    Pair network;
    const at::Tensor before = network.conv->weight.detach().clone();
    LoraWeights change = change_of("conv", at::randn({2, 5, 3, 3}), at::randn({3, 2, 1, 1}));
    change.alpha = 1;
    const at::Tensor norms = at::rand({of_rows ? 3 : 5}) + 0.5;
    change.parts[of_rows ? LoraPart::kOutputNorms : LoraPart::kInputNorms] =
        of_rows ? norms.view({3, 1, 1, 1}) : norms.view({1, 5, 1, 1});
    const BaseWeights base = merge_lora(network, {change}, 1.0);
    const at::Tensor merged = network.conv->weight.detach();
    const at::Tensor rows = of_rows ? merged.flatten(1) : merged.transpose(0, 1).flatten(1);
    CHECK(at::allclose(rows.norm(2, 1), norms));
    unmerge_lora(network, base);
    // Half of the weight gives half of the change.
    change.weight = 0.5;
    merge_lora(network, {change}, 1.0);
    CHECK(at::allclose(network.conv->weight, (before + merged) / 2, 1e-5, 1e-6));
  }
}

TEST_CASE("differences of weights, norms and biases are added as they are") {
  torch::manual_seed(4);
  Pair network;
  const at::Tensor norm = network.norm->weight.detach().clone(),
                   bias = network.norm->bias.detach().clone(),
                   other = network.linear->bias.detach().clone();
  LoraWeights change;
  change.module_path = "norm";
  change.form = LoraForm::kDifference;
  change.alpha = 1;
  change.weight = 0.5;
  change.parts = {{LoraPart::kDifference, at::ones({6})}, {LoraPart::kBias, at::full({6}, 2.0)}};
  // PEFT's bias of the second factor is scaled as the product is.
  LoraWeights scaled = change_of("linear", at::zeros({2, 6}), at::zeros({4, 2}));
  scaled.alpha = 6;
  scaled.parts[LoraPart::kScaledBias] = at::ones({4});
  const BaseWeights base = merge_lora(network, {change, scaled}, 1.0);
  CHECK(at::allclose(network.norm->weight, norm + 0.5));
  CHECK(at::allclose(network.norm->bias, bias + 1.0));
  CHECK(at::allclose(network.linear->bias, other + 3.0));
  unmerge_lora(network, base);
  CHECK(at::equal(network.norm->bias, bias));
}

TEST_CASE("a sum that is not finite is refused by its module, and nothing is merged") {
  Pair network;
  const at::Tensor before = network.conv->weight.detach().clone();
  const LoraWeights good = change_of("conv", at::ones({2, 5, 3, 3}), at::ones({3, 2}));
  const LoraWeights huge = change_of("linear", at::full({2, 6}, 1e30), at::full({4, 2}, 1e30));
  CHECK(contains(refusal(network, {good, huge}), "'linear.weight'"));
  CHECK(at::equal(network.conv->weight, before));
}

TEST_CASE("a change that does not fit is refused by module and shapes, and nothing is merged") {
  Pair network;
  const at::Tensor before = network.linear->weight.detach().clone();
  const LoraWeights good = change_of("linear", at::ones({2, 6}), at::ones({4, 2}));
  const auto refused = [&](const LoraWeights& bad) { return refusal(network, {good, bad}); };
  CHECK(contains(refused(change_of("other", at::ones({2, 6}), at::ones({4, 2}))), "'other'"));
  CHECK(contains(refused(change_of("norm", at::ones({2, 6}), at::ones({4, 2}))), "'norm'"));
  CHECK(contains(refused(change_of("linear", at::ones({2, 7}), at::ones({4, 2}))), "[2,7]"));
  CHECK(contains(refused(change_of("linear", at::ones({2, 6}), at::ones({4, 3}))), "[4,3]"));
  CHECK(contains(refused(change_of("linear", at::ones({2, 6}), at::ones({5, 2}))), "[5,2]"));
  CHECK(contains(refused(change_of("linear", at::ones({2, 6, 3, 3}), at::ones({4, 2}))),
                 "[2,6,3,3]"));
  CHECK(contains(refused(change_of("conv", at::ones({2, 5}), at::ones({3, 2}))), "[2,5]"));
  CHECK(
      contains(refused(change_of("conv", at::ones({2, 5, 3, 1}), at::ones({3, 2}))), "[2,5,3,1]"));
  CHECK(
      contains(refused(change_of("linear", at::ones({2, 6}, at::kInt), at::ones({4, 2}))), "down"));
  CHECK(contains(refused(change_of("linear", at::ones({0, 6}), at::ones({4, 0}))), "down"));
  LoraWeights tucker = change_of("conv", at::ones({2, 5, 1, 1}), at::ones({3, 2, 1, 1}));
  tucker.parts[LoraPart::kMid] = at::ones({2, 3, 3, 3});
  CHECK(contains(refused(tucker), "lora_mid"));
  tucker.parts[LoraPart::kMid] = at::ones({2, 2, 3, 3});
  tucker.parts[LoraPart::kDown] = at::ones({2, 5, 3, 3});
  CHECK(contains(refused(tucker), "lora_mid"));
  LoraWeights none = good;
  none.parts[LoraPart::kUp] = at::Tensor();
  CHECK(contains(refused(none), "nothing"));
  CHECK(at::equal(network.linear->weight, before));
  CHECK_THROWS_AS(unmerge_lora(network, {{"other.weight", before}}), Error);
}
