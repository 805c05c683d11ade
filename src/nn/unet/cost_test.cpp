#include "nn/unet/cost.h"

#include <doctest/doctest.h>

#include "nn/autoencoder/autoencoder_kl.h"
#include "nn/unet/unet.h"

using namespace pangu;
using namespace pangu::nn;

// The numbers are those that torch.utils.flop_counter counts for diffusers' modules of these
// configurations, in one forward of one row.
TEST_CASE("a UNet of Stable Diffusion 1.5 costs what torch counts") {
  UNetConfig config;
  config.cross_attention_dim = {768};
  const SkipInitialisation skip;
  const TensorShapes shapes = shapes_of(UNet2DConditionModel(config));
  CHECK(unet_gflop(shapes, 64, 64) == doctest::Approx(803.3).epsilon(0.01));
  CHECK(unet_gflop(shapes, 32, 32) < 803.3 / 4);
}

// The finest level of Stable Diffusion 1.5: layers by their names, added up by hand.
TEST_CASE("the shallow part of a UNet costs what its layers cost") {
  UNetConfig config;
  config.cross_attention_dim = {768};
  const SkipInitialisation skip;
  const TensorShapes shapes = shapes_of(UNet2DConditionModel(config));
  TensorShapes part;
  for (const auto& [name, shape] : shapes) {
    const bool is_block = name.find("_block") != std::string::npos &&
                          name.find("transformer_block") == std::string::npos;
    const bool in_block = is_block || name.starts_with("up_blocks") ||
                          name.starts_with("down_blocks") || name.starts_with("mid_block");
    if (!in_block || name.starts_with("up_blocks.3.resnets.2") ||
        name.starts_with("up_blocks.3.attentions.2")) {
      part[name] = shape;
    }
  }
  part["down_blocks.3"] = {1};  // four levels, of which the part has the finest
  const double one = unet_shallow_gflop(shapes, 1, 64, 64);
  CHECK(one == doctest::Approx(unet_gflop(part, 64, 64)));
  double before = one;
  for (int64_t depth = 2; depth < config.skip_states(); ++depth) {
    const double now = unet_shallow_gflop(shapes, depth, 64, 64);
    CHECK(now > before);
    before = now;
  }
  CHECK(before < unet_gflop(shapes, 64, 64));
  CHECK(unet_shallow_gflop({}, 1, 64, 64) == 0.0);
}

TEST_CASE("SDXL's UNet costs what torch counts") {
  UNetConfig config;
  config.down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"};
  config.up_block_types = {"CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"};
  config.block_out_channels = {320, 640, 1280};
  config.transformer_layers_per_block = {{1}, {2}, {10}};
  config.attention_head_dim = {5, 10, 20};
  config.cross_attention_dim = {2048};
  config.use_linear_projection = true;
  const SkipInitialisation skip;
  const TensorShapes shapes = shapes_of(UNet2DConditionModel(config));
  CHECK(unet_gflop(shapes, 128, 128) == doctest::Approx(6761.2).epsilon(0.01));
}

TEST_CASE("an autoencoder costs what torch counts") {
  const SkipInitialisation skip;
  const TensorShapes shapes = shapes_of(AutoencoderKL(AutoencoderKLConfig{}));
  CHECK(decoder_gflop(shapes, 512, 512) == doctest::Approx(2514.5).epsilon(0.03));
  CHECK(encoder_gflop(shapes, 512, 512) == doctest::Approx(1116.7).epsilon(0.03));
}

TEST_CASE("what is no such network costs nothing") {
  CHECK(unet_gflop({}, 64, 64) == 0.0);
  CHECK(decoder_gflop({{"decoder.layers.0.weight", {8, 4}}}, 64, 64) >= 0.0);
}
