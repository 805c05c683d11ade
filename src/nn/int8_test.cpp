// Layers and networks in int8 against the same in f32 and bf16.
#include <ATen/ATen.h>
#include <doctest/doctest.h>
#include <torch/types.h>

#include <memory>

#include "core/error.h"
#include "nn/conv.h"
#include "nn/int8_input.h"
#include "nn/int8_plan.h"
#include "nn/linear.h"
#include "nn/packed_weight.h"
#include "nn/unet/unet.h"

namespace pangu::nn {
namespace {

// The length of the difference in units of the length.
double int8_distance(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kDouble) - want.to(at::kDouble)).norm() / want.to(at::kDouble).norm())
      .item<double>();
}

at::Tensor as_bf16(const at::Tensor& x) { return x.to(at::kBFloat16); }

// A code is off by up to half a step of 1/127 of the greatest of its row, 0.29 steps on average;
// the greatest of 24 to 500 normal numbers is 2 to 3.5 deviations: 0.5 % to 0.8 % of inputs, and as
// much of weights.
constexpr double kTwoCodes = 0.013;

at::Tensor numbers_of(const Int8Input& input) {
  const bool pixels = input.codes.dim() == 4;
  const at::Tensor rows = pixels ? input.codes.permute({0, 2, 3, 1}) : input.codes;
  at::Tensor factors = input.factors.view(rows.sizes().slice(0, size_t(rows.dim()) - 1));
  const at::Tensor numbers = (rows.to(at::kFloat) - 128) * factors.unsqueeze(-1);
  return pixels ? numbers.permute({0, 3, 1, 2}) : numbers;
}

TEST_CASE("inputs in int8 are what the norm and the activation before the product give") {
  torch::manual_seed(1);
  const at::NoGradGuard no_grad;
  const at::Tensor x =
      as_bf16(at::randn({2, 32, 9, 7}) + 2).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor tokens = as_bf16(at::randn({2, 5, 24}) + 2);
  torch::nn::GroupNorm groups(torch::nn::GroupNormOptions(4, 32));
  torch::nn::LayerNorm layer(torch::nn::LayerNormOptions({24}));
  torch::nn::LayerNorm bare(torch::nn::LayerNormOptions({24}).elementwise_affine(false));
  for (at::Tensor p : groups->parameters()) p.copy_(at::randn(p.sizes()));
  for (at::Tensor p : layer->parameters()) p.copy_(at::randn(p.sizes()));
  groups->to(at::kBFloat16), layer->to(at::kBFloat16);
  const auto near = [](const at::Tensor& input, const Prologue& before, at::MemoryFormat format) {
    const Int8Input got = int8_input(input, before, format);
    CHECK(got.codes.is_contiguous(format));
    // A code is off by half a step of the row's greatest, and bf16 rounds once more.
    CHECK(int8_distance(numbers_of(got), plain_before_product(input, before)) < 0.012);
  };
  for (const Activation after : {Activation::kNone, Activation::kSilu, Activation::kGelu}) {
    near(x, {.group_norm = groups, .activation = after}, at::MemoryFormat::ChannelsLast);
    near(x, {.group_norm = groups, .activation = after, .shift = as_bf16(at::randn({2, 32}))},
         at::MemoryFormat::ChannelsLast);
    near(x, {.activation = after}, at::MemoryFormat::ChannelsLast);
    near(tokens, {.activation = after}, at::MemoryFormat::Contiguous);
  }
  near(tokens, {.layer_norm = layer}, at::MemoryFormat::Contiguous);
  near(tokens, {.layer_norm = bare}, at::MemoryFormat::Contiguous);
  near(tokens.to(at::kFloat), {}, at::MemoryFormat::Contiguous);
}

TEST_CASE("layers in int8 are near to their definition in f32") {
  torch::manual_seed(1);
  const at::NoGradGuard no_grad;
  if (!has_int8_products()) return;
  for (const auto type : {at::kBFloat16, at::kFloat}) {
    for (const Activation activation :
         {Activation::kNone, Activation::kSilu, Activation::kQuickGelu, Activation::kGeglu}) {
      CAPTURE(static_cast<int>(activation));
      Linear layer(120, 40);
      if (activation == Activation::kGeglu) layer->set_gated();
      layer->to(type);
      const at::Tensor x = at::randn({2, 5, 120}).to(type);
      const int64_t results = activation == Activation::kGeglu ? 20 : 40;
      const at::Tensor residual = at::randn({2, 5, results}).to(type);
      const at::Tensor weight = layer->weight.to(at::kFloat), bias = layer->bias.to(at::kFloat);
      const at::Tensor exact =
          plain_linear(x.to(at::kFloat), weight, bias, {},
                       {.activation = activation, .residual = residual.to(at::kFloat)});
      layer->pack_int8({});
      REQUIRE(layer->packed());
      const at::Tensor found =
          layer->forward(x, {}, {.activation = activation, .residual = residual});
      CHECK((found.scalar_type() == type));
      CHECK(int8_distance(found, exact) < kTwoCodes);
      CHECK(int8_distance(layer->packed()->unpacked(), weight) < kTwoCodes);
    }
  }
  for (const ConvShape shape : {ConvShape{1, 1}, ConvShape{2, 1}, ConvShape{1, 0}}) {
    CAPTURE(shape.stride);
    Conv2d layer(32, 20, 3, shape);
    layer->to(at::kBFloat16);
    const at::Tensor x =
        as_bf16(at::randn({2, 32, 9, 7})).contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor weight = layer->weight.to(at::kFloat);
    const at::Tensor exact =
        plain_conv2d(x.to(at::kFloat), weight, layer->bias.to(at::kFloat), shape);
    layer->pack_int8({});
    const at::Tensor found = layer->forward(x);
    CHECK(found.is_contiguous(at::MemoryFormat::ChannelsLast));
    CHECK(int8_distance(found, exact) < kTwoCodes);
    CHECK(int8_distance(layer->packed()->unpacked(), weight) < kTwoCodes);
    CHECK(int8_distance(layer->forward(x, {.doubles = true}),
                        layer->forward(at::upsample_nearest2d(x, {18, 14}))) == 0);
  }
}

UNetConfig small_unet() {
  UNetConfig config;
  config.block_out_channels = {32, 64};
  config.down_block_types = {"CrossAttnDownBlock2D", "DownBlock2D"};
  config.up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D"};
  config.cross_attention_dim = {16};
  config.attention_head_dim = {4};
  return config;
}

TEST_CASE(
    "a UNet computes in int8 by a plan, which may be stored, and tells the error of its layers") {
  torch::manual_seed(3);
  const at::NoGradGuard no_grad;
  if (!has_int8_products()) return;
  const UNetConfig config = small_unet();
  UNet2DConditionModel exact(config), measured(config), rounded(config), stored(config);
  exact.to(at::kBFloat16);
  weights_to_channels_last(exact);
  for (UNet2DConditionModel* other : {&measured, &rounded, &stored}) {
    other->to(at::kBFloat16);
    weights_to_channels_last(*other);
    for (const auto& item : exact.named_parameters()) {
      other->named_parameters()[item.key()].copy_(item.value());
    }
  }
  const Int8Plan plan = default_int8_plan(exact);
  CHECK(plan.contains("down_blocks.0.resnets.0.conv1"));
  CHECK(plan.contains("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"));
  CHECK_FALSE(plan.contains("conv_in"));
  CHECK_FALSE(plan.contains("time_embedding.linear_1"));
  Int8Plan codes;
  for (const auto& module : exact.named_modules("", /*include_self=*/false)) {
    if (!plan.contains(module.key())) continue;
    const auto* conv = module.value()->as<Conv2dImpl>();
    codes[module.key()] =
        int8_layer_of(conv ? conv->weight : module.value()->as<LinearImpl>()->weight);
  }
  const Int8Plan read = plan_from_tensors(plan_tensors(codes), stored);
  CHECK(read.size() == plan.size());

  const at::Tensor x = at::randn({2, 4, 17, 15}), t = at::full({1}, 300.0);
  const at::Tensor context = at::randn({2, 7, 16});
  Int8Errors errors;
  pack_weights(exact);
  pack_weights(measured, {.int8 = &plan, .errors = &errors});
  pack_weights(rounded, {.int8 = &plan});
  pack_weights(stored, {.int8 = &read});
  const at::Tensor wanted = exact.forward(x, t, context);
  const at::Tensor compared = measured.forward(x, t, context);
  if (PackedWeight::pack(at::ones({64, 64}, at::kBFloat16), {}, Activation::kNone,
                         Packing::kBf16)) {
    CHECK(compared.equal(wanted));
  } else {  // libtorch multiplies here, our kernels where layers are compared: bf16's rounding
    CHECK(int8_distance(compared, wanted) < 0.02);
  }
  const at::Tensor found = rounded.forward(x, t, context);
  CHECK(found.equal(stored.forward(x, t, context)));
  CHECK(int8_distance(found, wanted) < 0.03);  // of some thirty layers, each off by 1 %
  CHECK_FALSE(found.equal(wanted));
  CHECK(errors.size() == plan.size());
  for (const auto& [name, error] : errors) {
    CAPTURE(name);
    CHECK(error->relative() > 0.001);
    CHECK(error->relative() < 0.03);
  }
}

TEST_CASE("int8 weights of another network are refused by the tensor's name") {
  const at::NoGradGuard no_grad;
  torch::nn::Module network;
  network.register_module("a", Linear(8, 4));
  const Int8Layer layer = int8_layer_of(at::randn({4, 8}));
  const tensors::TensorMap good = plan_tensors({{"a", layer}});
  CHECK(plan_from_tensors(good, network).size() == 1);
  const auto message = [&](const tensors::TensorMap& tensors) {
    try {
      plan_from_tensors(tensors, network);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  tensors::TensorMap other = good;
  other["b.weight"] = layer.codes;
  CHECK(message(other).find("b.weight") != std::string::npos);
  other = good;
  other["a.weight"] = int8_layer_of(at::randn({4, 12})).codes;
  CHECK(message(other).find("a.weight") != std::string::npos);
  other = good;
  other.erase("a.weight_scale");
  CHECK(message(other).find("a.weight_scale") != std::string::npos);
}

}  // namespace
}  // namespace pangu::nn
