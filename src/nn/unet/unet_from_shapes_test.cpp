#include "nn/unet/unet_from_shapes.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/testing.h"
#include "nn/unet/controlnet.h"
#include "nn/unet/unet.h"

using namespace pangu;
using namespace pangu::nn;

namespace {

TensorShapes shapes_of_config(const UNetConfig& config) {
  const SkipInitialisation skip;
  return shapes_of(UNet2DConditionModel(config));
}

// The released configurations, as far as they differ from UNetConfig's defaults.
UNetConfig sd15() {
  UNetConfig c;
  c.cross_attention_dim = {768};
  return c;
}

UNetConfig sd21() {
  UNetConfig c;
  c.cross_attention_dim = {1024};
  c.attention_head_dim = {5, 10, 20, 20};
  c.use_linear_projection = true;
  return c;
}

UNetConfig sdxl() {
  UNetConfig c;
  c.down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"};
  c.up_block_types = {"CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"};
  c.block_out_channels = {320, 640, 1280};
  c.transformer_layers_per_block = {{1}, {2}, {10}};
  c.attention_head_dim = {5, 10, 20};
  c.cross_attention_dim = {2048};
  c.use_linear_projection = true;
  c.addition_embed_type = "text_time";
  c.addition_time_embed_dim = 256;
  c.projection_class_embeddings_input_dim = 2816;
  return c;
}

UNetConfig sdxl_refiner() {
  UNetConfig c = sdxl();
  c.down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                        "DownBlock2D"};
  c.up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"};
  c.block_out_channels = {384, 768, 1536, 1536};
  c.transformer_layers_per_block = {{4}};
  c.attention_head_dim = {6, 12, 24, 24};
  c.cross_attention_dim = {1280};
  c.projection_class_embeddings_input_dim = 2560;
  return c;
}

// SDXL with attentions taken out one by one, and none in the middle (SSD-1B).
UNetConfig sdxl_cut() {
  UNetConfig c = sdxl();
  c.mid_block_type = "UNetMidBlock2D";
  c.transformer_layers_per_block = {{1}, {2}, {4}};
  c.reverse_transformer_layers_per_block = {{{4, 4, 10}, {2, 1, 1}, {1}}};
  return c;
}

// A random valid configuration that can be read off its shapes, heads and groups aside.
UNetConfig any_config() {
  const auto pick = [](int low, int high) {
    return static_cast<int64_t>(*rc::gen::inRange(low, high + 1));
  };
  UNetConfig c;
  const int64_t levels = pick(1, 4);
  const int64_t context = 8 * pick(1, 12) + 4;  // a number that is no level's width
  c.in_channels = pick(1, 9);
  c.out_channels = pick(1, 9);
  c.conv_in_kernel = 2 * pick(0, 2) + 1;
  c.conv_out_kernel = 2 * pick(0, 2) + 1;
  c.down_block_types.clear();
  c.up_block_types.clear();
  c.block_out_channels.clear();
  c.layers_per_block.clear();
  c.transformer_layers_per_block.clear();
  c.only_cross_attention.clear();
  c.cross_attention_dim = {context};
  c.attention_head_dim = {1};
  for (int64_t level = 0; level < levels; ++level) {
    c.block_out_channels.push_back(32 * pick(1, 3));
    c.layers_per_block.push_back(pick(1, 3));
    c.transformer_layers_per_block.push_back({pick(1, 3)});
    c.only_cross_attention.push_back(pick(0, 1) == 1);
    c.down_block_types.emplace_back(pick(0, 1) ? "CrossAttnDownBlock2D" : "DownBlock2D");
    c.up_block_types.emplace_back(pick(0, 1) ? "CrossAttnUpBlock2D" : "UpBlock2D");
  }
  if (pick(0, 1)) {
    c.reverse_transformer_layers_per_block.emplace();
    for (int64_t level = levels; level-- > 0;) {
      Depths depths;
      const auto at = static_cast<size_t>(levels - 1 - level);
      const bool attends = c.up_block_types[at] == "CrossAttnUpBlock2D";
      const int64_t count = attends ? at_level(c.layers_per_block, level) + 1 : 1;
      for (int64_t i = 0; i < count; ++i) depths.push_back(pick(1, 3));
      c.reverse_transformer_layers_per_block->push_back(depths);
    }
  }
  const int64_t mid = pick(0, 2);
  if (mid == 0) c.mid_block_type.reset();
  if (mid == 1) c.mid_block_type = "UNetMidBlock2D";
  c.use_linear_projection = pick(0, 1) == 1;
  const int64_t classes = pick(0, 4);
  if (classes == 1) c.num_class_embeds = pick(1, 20);
  if (classes == 2) c.class_embed_type = "timestep";
  if (classes == 3) c.class_embed_type = "projection";
  if (classes == 4) c.class_embed_type = "simple_projection";
  if (classes >= 3) c.projection_class_embeddings_input_dim = 5 + 8 * pick(1, 9);
  if (classes < 3 && pick(0, 1)) {
    c.addition_embed_type = "text_time";
    c.addition_time_embed_dim = 256;
    c.projection_class_embeddings_input_dim = 256 * pick(1, 6) + pick(8, 99);
  }
  c.validate();
  return c;
}

}  // namespace

TEST_CASE("the released UNets are read off their shapes exactly") {
  CHECK(unet_config_from_shapes(shapes_of_config(sd15())) == sd15());
  CHECK(unet_config_from_shapes(shapes_of_config(sd21())) == sd21());
  CHECK(unet_config_from_shapes(shapes_of_config(sdxl())) == sdxl());
  CHECK(unet_config_from_shapes(shapes_of_config(sdxl_refiner())) == sdxl_refiner());
  CHECK(unet_config_from_shapes(shapes_of_config(sdxl_cut())) == sdxl_cut());
  for (UNetConfig inpainting : {sd15(), sd21(), sdxl()}) {
    inpainting.in_channels = 9;
    CHECK(unet_config_from_shapes(shapes_of_config(inpainting)) == inpainting);
  }
  UNetConfig pangu = sdxl();
  pangu.projection_class_embeddings_input_dim = 1536;
  const TensorShapes shapes = shapes_of_config(pangu);
  CHECK(unet_config_from_shapes(shapes) == pangu);
  int64_t parameters = 0;
  for (const auto& [name, shape] : shapes) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    parameters += count;
  }
  CHECK(parameters == 2565825284);  // of each released expert
}

TEST_CASE("the middle's depth is told from that of an upward half without a downward one") {
  UNetConfig c = sd15();
  c.down_block_types = {"DownBlock2D"};
  c.up_block_types = {"CrossAttnUpBlock2D"};
  c.block_out_channels = {64};
  c.transformer_layers_per_block = {{2}};  // of the middle
  c.reverse_transformer_layers_per_block = {{{1, 1, 1}}};
  const TensorShapes shapes = shapes_of_config(c);
  CHECK(shapes_of_config(unet_config_from_shapes(shapes)) == shapes);
}

TEST_CASE("a configuration read off any UNet's shapes makes a UNet of those shapes") {
  CHECK(rc::check([] {
    const UNetConfig config = any_config();
    const TensorShapes shapes = shapes_of_config(config);
    const UNetConfig read = unet_config_from_shapes(shapes);
    RC_ASSERT((shapes_of_config(read) == shapes));
    RC_ASSERT(read.down_block_types == config.down_block_types);
    RC_ASSERT(read.up_block_types == config.up_block_types);
    RC_ASSERT(read.mid_block_type == config.mid_block_type);
    RC_ASSERT(read.class_embed_type == config.class_embed_type);
    RC_ASSERT(read.num_class_embeds == config.num_class_embeds);
    RC_ASSERT(read.addition_embed_type == config.addition_embed_type);
    RC_ASSERT(read.projection_class_embeddings_input_dim ==
              config.projection_class_embeddings_input_dim);
    for (int64_t level = 0; level < config.levels(); ++level) {
      RC_ASSERT(at_level(read.layers_per_block, level) == at_level(config.layers_per_block, level));
    }
  }));
}

TEST_CASE("a ControlNet is read off the shapes of what it was made from") {
  ControlNetConfig config;
  for (const UNetConfig& unet : {sd15(), sd21(), sdxl()}) {
    config.unet = unet;
    config.unet.out_channels = 4;
    const SkipInitialisation skip;
    CHECK(controlnet_config_from_shapes(shapes_of(ControlNetModel(config))) == config);
  }
}

TEST_CASE("autoencoders are read off their shapes") {
  AutoencoderKLConfig released;
  AutoencoderKLConfig small = released;
  small.block_out_channels = {24, 48, 96};
  small.norm_num_groups = 8;
  small.layers_per_block = 1;
  small.latent_channels = 16;
  small.use_quant_conv = false;
  small.use_post_quant_conv = false;
  small.mid_block_add_attention = false;
  for (const AutoencoderKLConfig& config : {released, small}) {
    const SkipInitialisation skip;
    const AutoencoderKLConfig read =
        autoencoder_config_from_shapes(shapes_of(AutoencoderKL(config)));
    CHECK(read.to_json() == config.to_json());
  }
}

TEST_CASE("shapes that are no network are refused by the tensor that does not fit") {
  const TensorShapes whole = shapes_of_config(sd15());
  const auto without = [&](const std::string& name) {
    TensorShapes shapes = whole;
    CHECK(shapes.erase(name) == 1);
    return refusal_of([&] { unet_config_from_shapes(shapes); });
  };
  const auto with = [&](const std::string& name, const std::vector<int64_t>& shape) {
    TensorShapes shapes = whole;
    shapes[name] = shape;
    return refusal_of([&] { unet_config_from_shapes(shapes); });
  };
  CHECK(refusal_of([] { unet_config_from_shapes({}); }).find("down_blocks") != std::string::npos);
  CHECK(without("conv_in.weight").find("conv_in.weight") != std::string::npos);
  CHECK(without("down_blocks.1.resnets.0.conv1.weight").find("conv1") != std::string::npos);
  CHECK(with("conv_in.weight", {320}).find("4 dimensions") != std::string::npos);
  CHECK(with("conv_in.weight", {320, -4, 3, 3}).find("-4") != std::string::npos);
  CHECK(with("conv_in.weight", {320, 4, 2, 2}).find("odd") != std::string::npos);
  CHECK(with("down_blocks.9.x", {1}).find("without a gap") != std::string::npos);
  CHECK(with("down_blocks.x", {1}).find("without a gap") != std::string::npos);
  CHECK(with("up_blocks.4.x", {1}).find("up_blocks") != std::string::npos);
  CHECK(
      with("down_blocks.0.resnets.0.conv1.weight", {int64_t{1} << 40, 1, 1, 1}).find("sizes of") !=
      std::string::npos);
  CHECK(with("down_blocks.0.resnets.0.conv1.weight", {1 << 20, 1, 1, 1}).find("conv2") !=
        std::string::npos);
  CHECK(refusal_of([] { autoencoder_config_from_shapes({}); }).find("encoder") !=
        std::string::npos);
}
