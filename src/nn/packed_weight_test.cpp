// Layers and networks with packed weights against the same with plain weights.
#include "nn/packed_weight.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>
#include <torch/types.h>

#include <map>
#include <memory>
#include <vector>

#include "core/error.h"
#include "kernels/serving.h"
#include "nn/conv.h"
#include "nn/linear.h"
#include "nn/unet/unet.h"

namespace pangu::nn {
namespace {

bool has_kernels() {
  return kernels::product_level({.inputs = 320}, kernels::Served::kProduct) !=
         kernels::Level::kPlain;
}

// The length of the difference in units of the length.
double distance(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kDouble) - want.to(at::kDouble)).norm() / want.to(at::kDouble).norm())
      .item<double>();
}

at::Tensor narrow(const at::Tensor& x) { return x.to(at::kBFloat16); }

// A bf16 number is off by up to 1/256 of its size, by 1.1e-3 on average; a norm's result and the
// product's are rounded.
constexpr double kTwoRoundings = 3e-3;

TEST_CASE("layers with packed weights are near to their definition in f32") {
  torch::manual_seed(1);
  const at::NoGradGuard no_grad;
  for (const Activation activation : {Activation::kNone, Activation::kSilu, Activation::kGelu,
                                      Activation::kQuickGelu, Activation::kGeglu}) {
    CAPTURE(static_cast<int>(activation));
    Linear layer(24, 40);
    if (activation == Activation::kGeglu) layer->set_gated();
    layer->to(at::kBFloat16);
    const at::Tensor x = narrow(at::randn({2, 5, 24}));
    const int64_t results = activation == Activation::kGeglu ? 20 : 40;
    torch::nn::LayerNorm norm(torch::nn::LayerNormOptions({24}));
    const at::Tensor residual = narrow(at::randn({2, 5, results}));
    const at::Tensor weight = layer->weight.to(at::kFloat), bias = layer->bias.to(at::kFloat);
    const at::Tensor exact =
        plain_linear(x.to(at::kFloat), weight, bias, {.layer_norm = norm},
                     {.activation = activation, .residual = residual.to(at::kFloat)});
    layer->pack(Packing::kBf16);
    CHECK((layer->packed() != nullptr) == has_kernels());
    norm->to(at::kBFloat16);
    const at::Tensor found =
        layer->forward(x, {.layer_norm = norm}, {.activation = activation, .residual = residual});
    CHECK(found.sizes() == exact.sizes());
    CHECK(distance(found, exact) < kTwoRoundings);
  }
  for (const int64_t kernel : {1, 3}) {
    for (const ConvShape shape : {ConvShape{1, 1}, ConvShape{2, 1}, ConvShape{1, 0}}) {
      CAPTURE(kernel);
      CAPTURE(shape.stride);
      Conv2d layer(8, 20, kernel, shape);
      layer->to(at::kBFloat16);
      const at::Tensor x =
          narrow(at::randn({2, 8, 9, 7})).contiguous(at::MemoryFormat::ChannelsLast);
      const at::Tensor exact = plain_conv2d(x.to(at::kFloat), layer->weight.to(at::kFloat),
                                            layer->bias.to(at::kFloat), shape);
      const at::Tensor residual = at::randn(exact.sizes());  // of another type and layout
      layer->pack(Packing::kBf16);
      const at::Tensor found = layer->forward(x, {}, {.residual = residual});
      CHECK((found.is_contiguous(at::MemoryFormat::ChannelsLast) || !layer->packed()));
      const Prologue larger{.doubles = true};
      CHECK(distance(layer->forward(x, larger),
                     layer->forward(at::upsample_nearest2d(x, {18, 14}))) == 0);
      CHECK(distance(found, exact + residual) < kTwoRoundings);
    }
  }
}

TEST_CASE("a network lets go of the weights that it packs, and they can still be read") {
  torch::manual_seed(1);
  const at::NoGradGuard no_grad;
  torch::nn::Module network;
  auto conv = network.register_module("conv", Conv2d(4, 70, 3));
  auto odd = network.register_module("odd", Conv2d(3, 5, 3));  // no kernel: a single input is left
  auto linear = network.register_module("linear", Linear(6, 10));
  linear->set_gated();
  network.to(at::kBFloat16);
  std::map<std::string, at::Tensor> before;
  for (const auto& item : network.named_parameters()) before[item.key()] = item.value().clone();
  pack_weights(network);
  pack_weights(network);  // a second time changes nothing
  CHECK(odd->packed() == nullptr);
  if (has_kernels()) {
    CHECK(conv->weight.storage().nbytes() == 2);
    CHECK(conv->weight.isnan().all().item<bool>());
    CHECK(conv->weight.sizes() == before["conv.weight"].sizes());
  }
  size_t count = 0;
  for_each_parameter(network, [&](const std::string& name, const at::Tensor& value) {
    CAPTURE(name);
    REQUIRE(before.contains(name));
    CHECK(value.equal(before[name]));
    ++count;
  });
  CHECK(count == before.size());
}

TEST_CASE(
    "a packed weight refuses an input of another width, and GEGLU that it is not packed for") {
  if (!has_kernels()) return;
  const at::NoGradGuard no_grad;
  Linear plain(8, 4), gated(8, 4);
  Conv2d conv = same_conv2d(8, 4, 3);
  gated->set_gated();
  const std::vector<std::shared_ptr<torch::nn::Module>> layers = {plain.ptr(), gated.ptr(),
                                                                  conv.ptr()};
  for (const auto& layer : layers) {
    layer->to(at::kBFloat16);
    pack_weights(*layer);
  }
  const at::Tensor x = at::ones({3, 8}), wide = at::ones({3, 10});
  const Epilogue geglu{.activation = Activation::kGeglu};
  CHECK(plain->forward(x).sizes() == at::IntArrayRef({3, 4}));
  CHECK(gated->forward(x, {}, geglu).sizes() == at::IntArrayRef({3, 2}));
  CHECK_THROWS_AS(plain->forward(x, {}, geglu), Error);
  CHECK_THROWS_AS(gated->forward(x), Error);
  CHECK_THROWS_AS(plain->forward(wide), Error);
  CHECK_THROWS_AS(conv->forward(at::ones({1, 6, 5, 5})), Error);
}

TEST_CASE("weights in f32 are packed rounded, and the results of such layers stay f32") {
  torch::manual_seed(1);
  const at::NoGradGuard no_grad;
  Conv2d layer = same_conv2d(32, 48, 3), few = same_conv2d(4, 48, 3);
  const at::Tensor x = at::randn({2, 32, 9, 7}).contiguous(at::MemoryFormat::ChannelsLast);
  torch::nn::GroupNorm norm(torch::nn::GroupNormOptions(4, 32));
  const Prologue before{.group_norm = norm, .activation = Activation::kSilu};
  const at::Tensor residual = at::randn({2, 48, 9, 7}) * 1000;
  // As the kernel does it: input and weight rounded, the sums not.
  const at::Tensor exact = plain_conv2d(narrow(plain_before_product(x, before)).to(at::kFloat),
                                        narrow(layer->weight).to(at::kFloat), layer->bias, {1, 1});
  layer->pack(Packing::kRounds);
  few->pack(Packing::kRounds);
  CHECK(few->packed() == nullptr);
  if (!layer->packed()) return;
  const at::Tensor found = layer->forward(x, before, {.residual = residual});
  CHECK((found.scalar_type() == at::kFloat));
  // An input whose last bit decides may be rounded the other way, for the norm sums in another
  // order; bf16 would be off by 4 beside a residual of 1,000.
  CHECK((found - residual - exact).abs().max().item<double>() < 2e-2);
}

TEST_CASE("a UNet with packed weights is as near to f32 as one with plain weights in bf16") {
  torch::manual_seed(3);
  const at::NoGradGuard no_grad;
  UNetConfig config;
  config.block_out_channels = {32, 64};
  config.down_block_types = {"CrossAttnDownBlock2D", "DownBlock2D"};
  config.up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D"};
  config.cross_attention_dim = {16};
  config.attention_head_dim = {4};
  UNet2DConditionModel unet(config);
  unet.to(at::kBFloat16);
  weights_to_channels_last(unet);
  const at::Tensor x = at::randn({2, 4, 17, 15}), t = at::full({1}, 300.0);
  const at::Tensor context = at::randn({2, 7, 16});
  const at::Tensor plain = unet.forward(x, t, context);
  UNet2DConditionModel wide(config);
  for (const auto& item : wide.named_parameters()) {
    item.value().copy_(unet.named_parameters()[item.key()]);
  }
  const at::Tensor exact = wide.forward(narrow(x).to(at::kFloat), t, context);
  pack_weights(unet);
  const at::Tensor packed = unet.forward(x, t, context);
  const double error = distance(packed, exact);
  CHECK(error <= 1.1 * distance(plain, exact));
  CHECK(error > 0);  // it is bf16
}

}  // namespace
}  // namespace pangu::nn
