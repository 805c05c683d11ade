// Tests families and renaming on names and shapes alone, at the released widths and at others.
// tests/parity/checkpoint_names_test.cpp compares names and values with diffusers.
#include "io/families/families.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "io/families/made_checkpoint.h"
#include "io/ldm/ldm_names.h"
#include "io/weights_file.h"

using namespace pangu;
using namespace pangu::io;
using namespace pangu::io::made;

namespace {

TensorViews unet_only(const Shape& shape, const std::string& prefix = kUnet) {
  Maker m;
  unet(m, prefix, shape);
  return m.tensors;
}

// Checks that the tensors are recognised as `family`, with every tensor taken and none missing.
Recognised check_whole(const TensorViews& tensors, Family family) {
  const Recognised what = recognise(tensors);
  CHECK(std::string(name_of(what.family)) == name_of(family));
  const Components found = components_of(tensors, what);
  CHECK_MESSAGE(found.unexpected.empty(), found.unexpected.front());
  CHECK_MESSAGE(found.missing.empty(), found.missing.front());
  return what;
}

std::vector<std::string> missing_without(TensorViews tensors, const std::string& name) {
  REQUIRE(tensors.erase(name) == 1);
  return components_of(tensors, recognise(tensors)).missing;
}

}  // namespace

TEST_CASE("UNets of the released widths are recognised by themselves") {
  CHECK(check_whole(unet_only({}), Family::kStableDiffusion1).part == Part::kUnet);
  check_whole(unet_only(sd2()), Family::kStableDiffusion2);
  check_whole(unet_only(refiner()), Family::kSdxlRefiner);
  const Recognised base = check_whole(unet_only(sdxl()), Family::kSdxl);
  CHECK(base.pooled_dim == 1280);
  CHECK(base.addition_numbers == 6);
  Shape pangu = sdxl();
  pangu.addition = 1536;
  check_whole(unet_only(pangu), Family::kPanguDraw3);
  check_whole(unet_only(sdxl(), ""), Family::kSdxl);  // names of LDM without a prefix
}

TEST_CASE("SDXL without attention in the middle is SSD-1B") {
  Shape cut = sdxl();
  cut.middle = 0;
  check_whole(unet_only(cut), Family::kSsd1b);
  check_whole(unet_only(cut, ""), Family::kSsd1b);
}

TEST_CASE("narrower, deeper and uneven variants are the same families") {
  check_whole(unet_only({.width = 64, .context = 96}), Family::kStableDiffusion1);
  check_whole(unet_only({.multiples = {1, 1, 2, 2, 4}, .depths = {3, 3, 1, 1, 0}, .layers = 3}),
              Family::kStableDiffusion1);
  Shape wide = sdxl();
  wide.depths = {0, 1, 4};  // as the distilled SDXL networks have
  wide.layers = 1;
  check_whole(unet_only(wide), Family::kSdxl);
  Shape small = sd2();
  small.width = 32;
  small.multiples = {1, 2};
  small.depths = {1, 0};
  CHECK(check_whole(unet_only(small), Family::kStableDiffusion2).levels == 2);
}

TEST_CASE("text encoders beside a UNet tell what its added embedding is made of") {
  Maker m;
  Shape narrow = sdxl();
  narrow.context = 192;
  narrow.addition = 128 + 6 * 64;  // narrower sinusoids than any released ones
  unet(m, kUnet, narrow);
  clip(m, "conditioner.embedders.0.transformer.text_model.", 64, 3);
  openclip(m, "conditioner.embedders.1.model.", 128, 3);
  const Recognised base = check_whole(m.tensors, Family::kSdxl);
  CHECK(base.part == Part::kCheckpoint);
  CHECK(base.addition_number_dim == 64);
  CHECK(base.components == std::vector<std::string>{"unet", "text_encoder", "text_encoder_2"});

  Maker r;
  Shape small = refiner();
  small.width = 64;
  small.context = 128;
  small.addition = 128 + 5 * 256;
  unet(r, kUnet, small);
  openclip(r, "conditioner.embedders.0.model.", 128, 3);
  const Recognised what = check_whole(r.tensors, Family::kSdxlRefiner);
  CHECK(what.text_encoder == TextTower::kNone);
  CHECK(components_of(r.tensors, what).parts.count("text_encoder_2") == 1);
}

TEST_CASE("other inputs of the first convolution are variants, named") {
  CHECK(recognise(unet_only({.in_channels = 9})).inpaint);
  CHECK(recognise(unet_only({.in_channels = 9})).human_name ==
        "Stable Diffusion 1.x, inpainting (9 input channels)");
  Shape depth = sd2();
  depth.in_channels = 5;
  CHECK(recognise(unet_only(depth)).human_name ==
        "Stable Diffusion 2.x, depth-guided (5 input channels, not supported)");
  CHECK(recognise(unet_only({.in_channels = 8})).human_name.find("edited by instruction") !=
        std::string::npos);
}

TEST_CASE("what is known and cannot be drawn with says so beside its name") {
  TensorViews tensors = unet_only({}, "");
  CHECK(recognise(tensors).unsupported.empty());
  CHECK(!recognise(tensors).is_difference);
  tensors["difference"] = {};
  CHECK(recognise(tensors).is_difference);
  tensors["task_embedding"] = {};
  const Recognised what = recognise(tensors);
  CHECK(what.unsupported == what.human_name);
  CHECK(what.human_name == "Stable Diffusion 1.x, ControlNet union (not supported)");
  CHECK(!recognise(unet_only({.in_channels = 8})).unsupported.empty());
  CHECK(!recognise({{"double_blocks.0.x", {}}}).unsupported.empty());
}

TEST_CASE("names of text encoders from before transformers 4.31 get their prefix") {
  Maker m;
  unet(m, kUnet, {.width = 32});
  clip(m, "cond_stage_model.transformer.", 768, 2);
  const Recognised what = check_whole(m.tensors, Family::kStableDiffusion1);
  CHECK(components_of(m.tensors, what)
            .parts.at("text_encoder")
            .count("text_model.encoder.layers.1.mlp.fc2.bias") == 1);
}

TEST_CASE("what a file lacks is named in the words of diffusers") {
  Maker m;
  unet(m, kUnet, {.width = 32});
  clip(m, kClip, 64, 3);
  using Names = std::vector<std::string>;
  CHECK(missing_without(m.tensors, kUnet + "out.2.bias") == Names{"unet.conv_out.bias"});
  CHECK(missing_without(m.tensors, kUnet + "input_blocks.4.0.skip_connection.weight") ==
        Names{"unet.down_blocks.1.resnets.0.conv_shortcut.weight"});
  CHECK(missing_without(m.tensors,
                        kUnet + "output_blocks.5.1.transformer_blocks.0.attn2.to_v.weight") ==
        Names{"unet.up_blocks.1.attentions.2.transformer_blocks.0.attn2.to_v.weight"});
  CHECK(missing_without(m.tensors, kClip + "encoder.layers.1.mlp.fc1.weight") ==
        Names{"text_encoder.text_model.encoder.layers.1.mlp.fc1.weight"});
  TensorViews cut = m.tensors;
  std::erase_if(cut, [](const auto& item) {
    return item.first.find("output_blocks.11.") != std::string::npos;
  });
  const auto missing = components_of(cut, recognise(cut)).missing;
  CHECK(std::count(missing.begin(), missing.end(), "unet.up_blocks.3.resnets.2.conv1.weight") == 1);
  CHECK(std::count(missing.begin(), missing.end(),
                   "unet.up_blocks.3.attentions.2.proj_in.weight") == 1);
  CHECK_THROWS_WITH_AS(complete_components_of(cut, recognise(cut), "file"),
                       doctest::Contains("missing"), Error);
}

TEST_CASE("leftovers of training are counted, the rest is named as unexpected") {
  Maker m;
  unet(m, kUnet, {.width = 32});
  openclip(m, kOpenClip, 128, 2);
  m.add(kOpenClip + "logit_scale", {});
  m.add("betas", {1000});
  m.add("model_ema.decay", {});
  m.add("model_ema.diffusion_modelout2bias", {4});
  m.add("optimizer_states.0", {4});
  m.add(kUnet + "input_blocks.1.7.strange.weight", {4});
  m.add("somebody.else", {4});
  const Components found = components_of(m.tensors, recognise(m.tensors));
  CHECK(found.skipped ==
        std::map<std::string, size_t>{{"EMA copy", 2}, {"buffer", 2}, {"optimizer state", 1}});
  CHECK(found.unexpected ==
        std::vector<std::string>{kUnet + "input_blocks.1.7.strange.weight", "somebody.else"});
}

TEST_CASE("beside a downsampler's convolution, names that stop short are named as unexpected") {
  Maker m;
  unet(m, kUnet, {.width = 32});
  openclip(m, kOpenClip, 128, 2);
  const std::string module = kUnet + "input_blocks.3.0.";
  REQUIRE(m.tensors.count(module + "op.weight") == 1);
  std::vector<std::string> strange;
  for (const char* inside : {"", "o", "opposite.weight"}) strange.push_back(module + inside);
  for (const std::string& name : strange) m.add(name, {4});
  const Components found = components_of(m.tensors, recognise(m.tensors));
  CHECK(found.unexpected == strange);
}

TEST_CASE(
    "a fused projection that is no multiple of three, and an attention that is no 1x1, are "
    "refused") {
  Maker m;
  unet(m, kUnet, {.width = 32});
  openclip(m, kOpenClip, 128, 1);
  m.add(kOpenClip + "transformer.resblocks.0.attn.in_proj_weight", {383, 128});
  CHECK_THROWS_WITH_AS(components_of(m.tensors, recognise(m.tensors)),
                       doctest::Contains("in_proj_weight"), Error);
  Maker v;
  v.module("first_stage_model.encoder.conv_in", {32, 3, 3, 3});
  v.module("first_stage_model.encoder.mid.attn_1.q", {32, 32, 3, 3});
  CHECK_THROWS_WITH_AS(components_of(v.tensors, recognise(v.tensors)),
                       doctest::Contains("attn_1.q"), Error);
}

TEST_CASE("an autoencoder of diffusers before 0.15 has its attention renamed") {
  Maker m;
  m.module("decoder.conv_in", {64, 4, 3, 3});
  m.module("decoder.up_blocks.0.resnets.0.conv1", {64, 64, 3, 3});
  for (const char* name : {"query", "key", "value", "proj_attn"}) {
    m.module(std::string("decoder.mid_block.attentions.0.") + name, {64, 64});
  }
  const Components found = components_of(m.tensors, recognise(m.tensors));
  const NamedTensors& vae = found.parts.at("vae");
  CHECK(vae.count("decoder.mid_block.attentions.0.to_q.weight") == 1);
  CHECK(vae.count("decoder.mid_block.attentions.0.to_out.0.bias") == 1);
  CHECK(recognise(m.tensors).latent_channels == 4);
}

TEST_CASE("metadata and marker tensors say what is predicted, else the family does") {
  TensorViews xl = unet_only(sdxl());
  CHECK(training_of(xl, {}, recognise(xl)).prediction == Prediction::kEps);
  CHECK(training_of(xl, {{"modelspec.prediction_type", "v"}}, recognise(xl)).prediction ==
        Prediction::kV);
  Maker m;
  m.tensors = xl;
  m.add("v_pred", {0});
  m.add("ztsnr", {0});
  const Training marked = training_of(m.tensors, {}, recognise(m.tensors));
  CHECK(marked.prediction == Prediction::kV);
  CHECK(marked.zero_terminal_snr);
}

TEST_CASE("an ESRGAN is an upscaler in every spelling of its names") {
  for (const auto& [first, block] : std::vector<std::pair<std::string, std::string>>{
           {"conv_first", "body.0.rdb1.conv1"},
           {"params_ema.conv_first", "params_ema.body.0.rdb1.conv1"},
           {"conv_first", "RRDB_trunk.0.RDB1.conv1"},
           {"model.0", "model.1.sub.0.RDB1.conv1.0"}}) {
    Maker m;
    m.module(first, {64, 3, 3, 3});
    m.module(block, {32, 64, 3, 3});
    const Recognised found = recognise(m.tensors);
    CHECK(found.part == Part::kUpscaler);
    CHECK(found.human_name == "ESRGAN upscaler (RRDBNet)");
    CHECK(found.unsupported.empty());
  }
}

TEST_CASE("what is no model of ours is said to be what it is") {
  const auto name = [](const char* tensor) {
    Maker m;
    m.add(tensor, {8, 8});
    m.add("other.weight", {8, 8});
    return recognise(m.tensors).human_name;
  };
  CHECK(name("double_blocks.0.img_attn.qkv.weight").find("FLUX") != std::string::npos);
  CHECK(name("model.diffusion_model.joint_blocks.0.x.weight").find("Stable Diffusion 3") !=
        std::string::npos);
  CHECK(name("image_proj.proj.weight").find("IP-Adapter") != std::string::npos);
  CHECK(name("model.layers.0.mlp.weight").find("language model") != std::string::npos);
  CHECK(name("body.0.weight").find("compact upscaler") != std::string::npos);
  CHECK(name("params.body.0.weight").find("compact upscaler") != std::string::npos);
  CHECK(name("body.0.in_conv.weight").find("T2I-Adapter") != std::string::npos);
  CHECK(name("params_ema.layers.0.residual_group.blocks.0.norm1.weight").find("SwinIR") !=
        std::string::npos);
  CHECK(name("a.weight").find("'a.weight'") != std::string::npos);
  CHECK(recognise({}).human_name == "no tensors");
}
