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

TEST_CASE("what a training keeps is added up from the blocks of a network") {
  // Two levels of 8 and 16 channels on 8 x 8 and 4 x 4, one residual block each; a transformer of
  // one block in the middle alone. By hand, in numbers of 64 or 16 pixels.
  const TensorShapes shapes = {
      {"conv_in.weight", {8, 4, 3, 3}},
      {"down_blocks.0.resnets.0.conv1.weight", {8, 8, 3, 3}},
      {"down_blocks.0.resnets.0.conv2.weight", {8, 8, 3, 3}},
      {"down_blocks.0.downsamplers.0.conv.weight", {8, 8, 3, 3}},
      {"down_blocks.1.resnets.0.conv1.weight", {16, 8, 3, 3}},
      {"mid_block.attentions.0.proj_in.weight", {16, 16}},
      {"mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight", {16, 16}},
      {"mid_block.attentions.0.transformer_blocks.0.attn2.to_q.weight", {16, 16}},
      {"up_blocks.0.resnets.0.conv1.weight", {16, 24, 3, 3}},
      {"up_blocks.0.upsamplers.0.conv.weight", {16, 16, 3, 3}},
      {"up_blocks.1.resnets.0.conv1.weight", {8, 24, 3, 3}},
      {"conv_norm_out.weight", {8}},
      {"conv_out.weight", {4, 8, 3, 3}},
  };
  const UnetActivations found = unet_activations(shapes, 8, 8, 5);
  const double inputs_of_blocks = 8 * 64 + 8 * 16 + 24 * 16 + 24 * 64;
  const double transformer = (3 + 1) * 16 * 16;
  const double between = 8 * 64 + 16 * 64 + 3 * 8 * 64;  // halving, doubling, the end
  CHECK(found.kept == inputs_of_blocks + transformer + between);
  const double block = 16 * (23 * 16 + 2 * 5);
  CHECK(found.insides == (2 * 8 + 3 * 8) * 64 + (2 * 8 + 3 * 16) * 16 + (2 * 24 + 3 * 16) * 16 +
                             (2 * 24 + 3 * 8) * 64 + block);
  CHECK(found.largest == block);
  CHECK(found.most(true) == found.kept + 2 * block);
  CHECK(found.most(false) == found.kept + found.insides + block);
}

// What autograd keeps was counted by torch.autograd.graph.saved_tensors_hooks for diffusers' module
// of this configuration, every storage once, parameters left out: 470,624 numbers with blocks that
// are computed twice, 6,696,160 with blocks that are not. diffusers keeps the gate of its
// feed-forward layers in one more form, and the text.
TEST_CASE("what a training keeps is what autograd keeps of diffusers' module") {
  UNetConfig config;
  config.down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"};
  config.up_block_types = {"CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"};
  config.block_out_channels = {32, 64, 128};
  config.transformer_layers_per_block = {{1}, {2}, {10}};
  config.attention_head_dim = {4, 8, 16};
  config.cross_attention_dim = {128};
  config.use_linear_projection = true;
  config.norm_num_groups = 16;
  const SkipInitialisation skip;
  const UnetActivations found =
      unet_activations(shapes_of(UNet2DConditionModel(config)), 16, 16, 77);
  CHECK(found.kept == doctest::Approx(470624).epsilon(0.06));
  CHECK(found.kept + found.insides == doctest::Approx(6696160).epsilon(0.12));
}

TEST_CASE("what is no such network costs nothing") {
  CHECK(unet_gflop({}, 64, 64) == 0.0);
  CHECK(decoder_gflop({{"decoder.layers.0.weight", {8, 4}}}, 64, 64) >= 0.0);
}
