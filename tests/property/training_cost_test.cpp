// The cost of a training that is computed from shapes, against the operators that really run.
#include <ATen/ATen.h>
#include <doctest/doctest.h>
#include <torch/nn.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "nn/unet/cost.h"
#include "nn/unet/unet.h"
#include "train/replicas.h"

namespace pangu {
namespace {

constexpr int64_t kSide = 16, kTokens = 12, kRows = 4, kWidth = 384;

nn::UNetConfig small_config() {
  return nn::unet_config_from_json(
      {{"in_channels", 16},
       {"out_channels", 16},
       {"down_block_types", {"DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"}},
       {"mid_block_type", "UNetMidBlock2DCrossAttn"},
       {"up_block_types", {"CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"}},
       {"block_out_channels", {64, 128, 128}},
       {"layers_per_block", 1},
       {"transformer_layers_per_block", 1},
       {"attention_head_dim", {1, 2, 2}},
       {"cross_attention_dim", kWidth},
       {"use_linear_projection", true}});
}

// Operations of one row by their operators, forward and backward, in 10^9.
double counted_gflop(const std::shared_ptr<nn::UNet2DConditionModel>& unet, at::ScalarType dtype) {
  unet->to(dtype);
  const train::LossFunction loss = [&](const train::Slice& slice) {
    const auto options = at::TensorOptions(dtype);
    const at::Tensor x = at::randn({slice.count, 16, kSide, kSide}, options);
    const at::Tensor context = at::randn({slice.count, kTokens, kWidth}, options);
    const at::Tensor t = at::full({slice.count}, 500.0, at::kFloat);
    return unet->forward(x, t, context).to(at::kFloat).square().sum();
  };
  train::Replicas replicas({unet}, 1);
  double sum = 0;
  return replicas.count_flop(loss, {.count = kRows}, 1.0, &sum) * 1e-9 / kRows;
}

TEST_CASE("a training costs what its operators count, in both of its precisions") {
  at::manual_seed(1);
  const auto unet = std::make_shared<nn::UNet2DConditionModel>(small_config());
  const double expected = nn::unet_training_gflop(nn::shapes_of(*unet), kSide, kSide, kTokens);
  const double forward = nn::unet_gflop(nn::shapes_of(*unet), kSide, kSide, kTokens);
  CHECK(expected > 2.5 * forward);
  CHECK(expected < 3 * forward);
  // The time embedding's products of every block and the padding of strided convolutions are less
  // than 2 %.
  CHECK(counted_gflop(unet, at::kFloat) == doctest::Approx(expected).epsilon(0.02));
  CHECK(counted_gflop(unet, at::kBFloat16) == doctest::Approx(expected).epsilon(0.02));
}

}  // namespace
}  // namespace pangu
