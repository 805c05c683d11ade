#include "nn/unet/controlnet.h"

#include <doctest/doctest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/testing.h"
#include "nn/autoencoder/autoencoder_tiny.h"
#include "nn/unet/unet.h"

using namespace pangu;
using namespace pangu::nn;

namespace {

UNetConfig tiny_unet() {
  UNetConfig c;
  c.down_block_types = {"CrossAttnDownBlock2D", "DownBlock2D"};
  c.up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D"};
  c.block_out_channels = {32, 64};
  c.layers_per_block = {1};
  c.cross_attention_dim = {12};
  return c;
}

ControlNetConfig tiny_control() {
  ControlNetConfig c;
  c.unet = tiny_unet();
  c.conditioning_embedding_out_channels = {8, 16};
  return c;
}

struct Inputs {
  at::Tensor sample = at::randn({2, 4, 6, 8}), t_index = at::tensor({500.0F, 20.0F});
  at::Tensor context = at::randn({2, 5, 12}), picture = at::rand({1, 3, 12, 16});
};

}  // namespace

TEST_CASE("residuals of ControlNets fit the UNet, add up, and move its output") {
  const at::NoGradGuard no_grad;
  torch::manual_seed(1);
  const Inputs in;
  ControlNetModel control(tiny_control());
  UNet2DConditionModel unet(tiny_unet());
  const ControlResiduals one = control.forward(in.sample, in.t_index, in.context, in.picture);
  ControlResiduals sum;
  add_residuals(sum, one);
  add_residuals(sum, one);
  CHECK(at::allclose(sum.mid, 2 * one.mid));
  const at::Tensor plain = unet.forward(in.sample, in.t_index, in.context);
  UNetExtras extras;
  extras.down_residuals = sum.down;
  extras.mid_residual = sum.mid;
  CHECK_FALSE(at::allclose(unet.forward(in.sample, in.t_index, in.context, extras), plain));

  extras.down_residuals[1] = extras.down_residuals[1].narrow(3, 0, 3);
  CHECK(contains(refusal_of([&] { unet.forward(in.sample, in.t_index, in.context, extras); }),
                 "down_residuals"));
  extras.down_residuals.pop_back();
  CHECK(contains(refusal_of([&] { unet.forward(in.sample, in.t_index, in.context, extras); }),
                 "down_residuals"));
  extras.down_residuals.clear();
  extras.mid_residual = at::zeros({2, 63, 3, 4});
  CHECK(contains(refusal_of([&] { unet.forward(in.sample, in.t_index, in.context, extras); }),
                 "mid_residual"));
  ControlResiduals fewer = one;
  fewer.down.pop_back();
  CHECK(contains(refusal_of([&] { add_residuals(sum, fewer); }), "same network"));
}

TEST_CASE("the residuals of the shallow part are the first ones, and fit a UNet that reuses") {
  const at::NoGradGuard no_grad;
  torch::manual_seed(4);
  const Inputs in;
  ControlNetModel control(tiny_control());
  UNet2DConditionModel unet(tiny_unet());
  const PreparedConditions prepared = unet.prepare(in.context);
  const ControlResiduals all = control.forward(in.sample, in.t_index, in.context, in.picture);
  UNetStepExtras whole;
  whole.down_residuals = all.down;
  whole.mid_residual = all.mid;
  for (int64_t depth = 1; depth < unet.config().skip_states(); ++depth) {
    DeepFeatures deep{depth, {}};
    whole.deep = &deep;
    const at::Tensor out = unet.forward(in.sample, in.t_index, prepared, whole);
    const ControlResiduals shallow = control.forward(in.sample, in.t_index, in.context, in.picture,
                                                     {}, {.scale = 1.0, .depth = depth});
    REQUIRE(shallow.down.size() == static_cast<size_t>(depth));
    CHECK_FALSE(shallow.mid.defined());
    for (size_t i = 0; i < shallow.down.size(); ++i) CHECK(shallow.down[i].equal(all.down[i]));
    UNetStepExtras again;
    again.down_residuals = shallow.down;
    again.deep = &deep;
    CHECK(unet.forward(in.sample, in.t_index, prepared, again).equal(out));
  }
}

TEST_CASE("a ControlNet of scale 0 leaves the UNet alone, and pictures are shared by a batch") {
  const at::NoGradGuard no_grad;
  torch::manual_seed(2);
  const Inputs in;
  ControlNetModel control(tiny_control());
  ControlNetModel::Options silent;
  silent.scale = 0;
  for (const at::Tensor& residual :
       control.forward(in.sample, in.t_index, in.context, in.picture, {}, silent).down) {
    CHECK(residual.abs().max().item<float>() == 0);
  }
  const at::Tensor both = in.picture.repeat({2, 1, 1, 1});
  // For other batch sizes the order of summation differs.
  CHECK(at::allclose(control.forward(in.sample, in.t_index, in.context, in.picture).mid,
                     control.forward(in.sample, in.t_index, in.context, both).mid, 1e-4, 1e-5));
}

TEST_CASE("a ControlNet refuses pictures and configurations that do not fit") {
  const Inputs in;
  ControlNetModel control(tiny_control());
  const auto with = [&](const at::Tensor& picture) {
    return refusal_of([&] { control.forward(in.sample, in.t_index, in.context, picture); });
  };
  CHECK(contains(with(at::rand({2, 3, 12, 15})), "12,16"));
  CHECK(contains(with(at::rand({2, 1, 12, 16})), "12,16"));
  CHECK(contains(with(at::rand({3, 3, 12, 16})), "12,16"));
  CHECK(contains(with({}), "nothing"));

  const auto json_with = [](const char* key, const nlohmann::json& value) {
    nlohmann::json json = tiny_control().to_json();
    json[key] = value;
    return refusal_of([&] { ControlNetConfig::from_json(json); });
  };
  CHECK(json_with("num_attention_heads", 4) == "accepted");
  CHECK(contains(json_with("controlnet_conditioning_channel_order", "grb"), "rgb or bgr"));
  CHECK(contains(json_with("conditioning_channels", 0), "conditioning_channels"));
  CHECK(contains(json_with("conditioning_embedding_out_channels", nlohmann::json::array()),
                 "conditioning_embedding_out_channels"));
  CHECK(contains(json_with("mid_block_type", nullptr), "mid_block_type"));
  CHECK(contains(json_with("block_out_channels", {31, 62}), "norm_num_groups"));
  CHECK(contains(json_with("encoder_hid_dim", 5), "encoder_hid_dim"));
}

TEST_CASE("the tiny autoencoder refuses what does not fit it") {
  AutoencoderTinyConfig config;
  config.encoder_width = config.decoder_width = 8;
  AutoencoderTiny network(config);
  CHECK(network.decode(at::zeros({1, 4, 2, 3})).sizes() == at::IntArrayRef({1, 3, 16, 24}));
  CHECK(contains(refusal_of([&] { network.decode(at::zeros({1, 3, 2, 3})); }), "[B,4,H,W]"));
  CHECK(contains(refusal_of([&] { network.encode(at::zeros({3, 16, 16})); }), "[B,3,H,W]"));
  const auto json_with = [&](const char* key, const nlohmann::json& value) {
    nlohmann::json json = config.to_json();
    json[key] = value;
    return refusal_of([&] { AutoencoderTinyConfig::from_json(json); });
  };
  CHECK(contains(json_with("act_fn", "gelu"), "act_fn"));
  CHECK(contains(json_with("upsampling_scaling_factor", 3), "upsampling_scaling_factor"));
  CHECK(contains(json_with("encoder_block_out_channels", {8, 8, 8, 16}), "one width"));
  CHECK(contains(json_with("num_decoder_blocks", {1, 2}), "decoder_block_out_channels"));
  CHECK(contains(json_with("latent_channels", -1), "latent_channels"));
  CHECK(contains(refusal_of([] { autoencoder_tiny_config_from_shapes({}); }), "neither"));
  CHECK(contains(
      refusal_of([] { autoencoder_tiny_config_from_shapes({{"encoder.layers.0.x", {1}}}); }),
      "convolutions"));
}
