// Tests changes that are trained beside frozen weights, and parts that are computed twice.
#include "nn/low_rank.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>
#include <torch/nn.h>
#include <torch/types.h>

#include "core/error.h"
#include "nn/lora.h"
#include "nn/recompute.h"
#include "nn/text/clip_text.h"
#include "nn/unet/testing.h"
#include "nn/unet/unet.h"

namespace pangu::nn {
namespace {

LowRankOptions all_kinds() {
  LowRankOptions o;
  o.rank = 3;
  o.alpha = 2;
  o.kernel_rank = 2;
  o.kernel_alpha = 1;
  o.targets = {"to_q",         "to_k",          "to_v",  "to_out.0",
               "proj_in",      "ff.net.0.proj", "conv1", "downsamplers.0.conv",
               "time_emb_proj"};
  return o;
}

// Fills every parameter with numbers of its own, so that no change is nothing.
void fill(torch::nn::Module& changes) {
  const at::NoGradGuard no_grad;
  for (at::Tensor& p : changes.parameters()) p.normal_(0, 0.3);
}

at::Tensor run(UNet2DConditionModel& unet, bool recomputes) {
  torch::manual_seed(3);
  UNetExtras extras;
  extras.recomputes = recomputes;
  return unet.forward(at::randn({2, 4, 6, 6}), at::full({2}, 300.0), at::randn({2, 5, 12}), extras);
}

std::map<std::string, at::Tensor> gradients(torch::nn::Module& changes) {
  std::map<std::string, at::Tensor> all;
  for (const auto& item : changes.named_parameters()) {
    all[item.key()] = item.value().grad().clone();
    item.value().mutable_grad() = at::Tensor();
  }
  return all;
}

TEST_CASE("a change that is trained is the change that a file of it is merged as") {
  torch::manual_seed(1);
  UNet2DConditionModel trained(two_level_config()), merged(two_level_config());
  const auto weights = trained.named_parameters();
  {
    const at::NoGradGuard no_grad;
    for (const auto& item : merged.named_parameters()) item.value().copy_(weights[item.key()]);
  }
  LowRankChanges changes(trained, all_kinds(), "lora_unet_");
  const at::NoGradGuard no_grad;
  CHECK(at::equal(run(trained, false), run(merged, false)));  // nothing at first
  fill(changes);
  std::vector<LoraWeights> files;
  const auto parameters = changes.named_parameters();
  for (const LowRankChanges::Layer& layer : changes.layers()) {
    LoraWeights one;
    one.module_path = layer.path;
    one.parts[LoraPart::kDown] = parameters[layer.name + ".lora_down"];
    one.parts[LoraPart::kUp] = parameters[layer.name + ".lora_up"];
    one.alpha = layer.alpha;
    one.rank = double(layer.rank);
    files.push_back(one);
  }
  merge_lora(merged, files, 1.0);
  const at::Tensor a = run(trained, false), b = run(merged, false);
  // Sums in another order, in f32.
  CHECK(at::allclose(a, b, 1e-4, 1e-4 * b.abs().max().item<double>()));
}

TEST_CASE("only the changes get gradients, and the same ones where blocks are computed twice") {
  torch::manual_seed(2);
  UNet2DConditionModel unet(two_level_config());
  LowRankChanges changes(unet, all_kinds(), "lora_unet_");
  fill(changes);
  run(unet, false).square().sum().backward();
  const auto once = gradients(changes);
  run(unet, true).square().sum().backward();
  const auto twice = gradients(changes);
  CHECK(once.size() == 2 * changes.layers().size());
  for (const auto& [name, gradient] : once) {
    CAPTURE(name);
    CHECK(gradient.abs().max().item<double>() > 0);
    // Gradients of one parameter are added in another order.
    CHECK(at::allclose(gradient, twice.at(name), 1e-4, 1e-4 * gradient.abs().max().item<double>()));
  }
  for (const auto& item : unet.named_parameters()) CHECK(!item.value().grad().defined());
}

TEST_CASE("changes of a text encoder have the gradients that differences give") {
  torch::manual_seed(1);
  ClipTextConfig config;
  config.vocab_size = 16;
  config.hidden_size = 64;
  config.intermediate_size = 128;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 1;
  config.max_position_embeddings = 8;
  config.has_projection = true;
  config.projection_dim = 32;
  config.eos_token_id = 15;
  ClipTextModel text(config);
  text.to(at::kDouble);
  LowRankOptions options;
  options.rank = 4;
  options.alpha = 2;
  options.targets = {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"};
  LowRankChanges changes;
  changes.add(text, options, "lora_te_", "text_encoder");
  changes.to(at::kDouble);
  REQUIRE(changes.layers().size() == 18);
  {
    const at::NoGradGuard no_grad;
    for (at::Tensor& p : changes.parameters()) p.copy_(at::randn(p.sizes(), at::kDouble) * 0.1);
  }
  const at::Tensor ids = at::randint(1, 15, {2, 8}, at::kLong);
  ids.select(1, 7).fill_(15);
  const auto loss = [&] {
    ClipTextRequest request;
    request.hidden_states = true;
    const ClipTextOutput out = text.forward(ids, request);
    return out.hidden_states[2].square().sum() + out.text_embeds.sin().sum() +
           out.last_hidden.cos().sum();
  };
  loss().backward();
  constexpr double kStep = 1e-5;
  const at::NoGradGuard no_grad;
  for (const auto& item : changes.named_parameters()) {
    CAPTURE(item.key());
    at::Tensor parameter = item.value();
    REQUIRE(parameter.grad().defined());
    const at::Tensor direction = at::randn(parameter.sizes(), at::kDouble);
    parameter.add_(direction * kStep);
    const double above = loss().item<double>();
    parameter.sub_(direction * (2 * kStep));
    const double below = loss().item<double>();
    parameter.add_(direction * kStep);
    CHECK((parameter.grad() * direction).sum().item<double>() ==
          doctest::Approx((above - below) / (2 * kStep)).epsilon(1e-4));
  }
  for (const at::Tensor& parameter : text.parameters()) CHECK(!parameter.grad().defined());
}

TEST_CASE("a part that is computed twice keeps nothing of its inside") {
  const at::Tensor x = at::randn({8, 8}).set_requires_grad(true);
  int calls = 0;
  const auto part = [&](const std::vector<at::Tensor>& inputs) {
    ++calls;
    return inputs[0].exp().sin();
  };
  const at::Tensor y = recomputed(part, {x});
  CHECK(calls == 1);
  y.sum().backward();
  CHECK(calls == 2);
  CHECK(at::allclose(x.grad(), (x.exp() * x.exp().cos()).detach()));
  const at::NoGradGuard no_grad;
  recomputed(part, {x});
  CHECK(calls == 3);
}

TEST_CASE("changes of two networks are one module, and each layer says whose it is") {
  torch::manual_seed(3);
  UNet2DConditionModel first(two_level_config()), second(two_level_config());
  LowRankChanges both;
  CHECK(both.layers().empty());
  both.add(first, all_kinds(), "lora_unet_", "unet");
  const size_t own = both.layers().size();
  both.add(second, all_kinds(), "lora_other_", "other");
  REQUIRE(both.layers().size() == 2 * own);
  LowRankOptions fewer = all_kinds();
  fewer.left_out = {"down_blocks."};
  UNet2DConditionModel third(two_level_config());
  LowRankChanges some;
  some.add(third, fewer, "lora_unet_", "unet");
  CHECK(some.layers().size() > 0);
  CHECK(some.layers().size() < own);
  for (const LowRankChanges::Layer& one : some.layers()) {
    CHECK_FALSE(one.path.starts_with("down_blocks."));
  }
  CHECK(both.named_parameters().size() == 4 * own);
  for (size_t i = 0; i < own; ++i) {
    const LowRankChanges::Layer &a = both.layers()[i], &b = both.layers()[own + i];
    CHECK(a.part == "unet");
    CHECK(b.part == "other");
    CHECK(a.path == b.path);
    CHECK(a.name.starts_with("lora_unet_"));
    CHECK(b.name.starts_with("lora_other_"));
  }
}

TEST_CASE("a target that no layer has is refused by its name") {
  UNet2DConditionModel unet(two_level_config());
  LowRankOptions options = all_kinds();
  options.targets.push_back("to_z");
  CHECK_THROWS_WITH_AS(LowRankChanges(unet, options, ""), doctest::Contains("to_z"), Error);
}

}  // namespace
}  // namespace pangu::nn
