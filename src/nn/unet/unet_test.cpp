// Tests the rules of the UNet that need no reference: names, shapes, layout, gradients, refusals.
#include "nn/unet/unet.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/testing.h"
#include "nn/weights.h"

namespace pangu::nn {
namespace {

UNetConfig tiny() {
  UNetConfig c;
  c.in_channels = 3;
  c.out_channels = 5;
  c.down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D"};
  c.up_block_types = {"CrossAttnUpBlock2D", "UpBlock2D"};
  c.block_out_channels = {16, 32};
  c.layers_per_block = {1};
  c.attention_head_dim = {2};
  c.cross_attention_dim = {12};
  c.norm_num_groups = 8;
  return c;
}

struct Inputs {
  at::Tensor x, t, context;
};

Inputs inputs(int64_t batch, int64_t height, int64_t width, const UNetConfig& c) {
  torch::manual_seed(7);
  return {at::randn({batch, c.in_channels, height, width}), at::arange(batch).to(at::kFloat) * 100,
          at::randn({batch, 6, c.cross_attention_dim.front()})};
}

TEST_CASE("a UNet gives its output channels at any latent size, odd and one pixel included") {
  const at::NoGradGuard no_grad;
  UNet2DConditionModel unet(tiny());
  for (const auto& [h, w] : {std::pair{8, 8}, {7, 5}, {1, 1}, {3, 16}}) {
    const Inputs in = inputs(2, h, w, unet.config());
    const at::Tensor out = unet.forward(in.x, in.t, in.context);
    CHECK(out.sizes() == at::IntArrayRef({2, 5, h, w}));
    CHECK(out.isfinite().all().item<bool>());
  }
}

TEST_CASE("parameters carry diffusers' names") {
  UNet2DConditionModel unet(tiny());
  std::set<std::string> names;
  for (const auto& item : unet.named_parameters()) names.insert(item.key());
  for (const char* name :
       {"conv_in.weight", "time_embedding.linear_1.bias", "down_blocks.0.resnets.0.norm1.weight",
        "down_blocks.0.downsamplers.0.conv.weight", "down_blocks.1.resnets.0.conv_shortcut.weight",
        "down_blocks.1.attentions.0.proj_in.weight",
        "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight",
        "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0.bias",
        "mid_block.resnets.1.time_emb_proj.weight",
        "up_blocks.0.attentions.1.transformer_blocks.0.ff.net.0.proj.weight",
        "up_blocks.0.attentions.1.transformer_blocks.0.ff.net.2.bias",
        "up_blocks.0.upsamplers.0.conv.bias", "conv_norm_out.weight", "conv_out.bias"}) {
    CHECK_MESSAGE(names.count(name) == 1, name);
  }
}

TEST_CASE("every parameter receives a gradient, in bf16 as in f32") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    UNet2DConditionModel unet(tiny());
    unet.to(dtype);
    const Inputs in = inputs(2, 8, 8, unet.config());
    unet.forward(in.x, in.t, in.context).to(at::kFloat).square().mean().backward();
    for (const auto& item : unet.named_parameters()) {
      REQUIRE_MESSAGE(item.value().grad().defined(), item.key());
      CHECK_MESSAGE(item.value().grad().isfinite().all().item<bool>(), item.key());
    }
  }
}

TEST_CASE("activations stay channels-last from the first layer to the last") {
  const at::NoGradGuard no_grad;
  UNet2DConditionModel unet(tiny());
  const Inputs in = inputs(2, 8, 8, unet.config());
  UNetExtras extras;
  size_t traced = 0;
  extras.trace = [&](const std::string& name, const at::Tensor& output) {
    if (output.dim() != 4) return;
    ++traced;
    CHECK_MESSAGE(output.is_contiguous(at::MemoryFormat::ChannelsLast), name);
  };
  unet.forward(in.x, in.t, in.context, extras);
  CHECK(traced > 10);
}

TEST_CASE("pixels and tokens are views of one another when channels-last") {
  const at::Tensor x = at::randn({2, 3, 4, 5}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor tokens = to_tokens(x);
  CHECK(tokens.sizes() == at::IntArrayRef({2, 20, 3}));
  CHECK(tokens.data_ptr() == x.data_ptr());
  const at::Tensor back = to_pixels(tokens, 4, 5);
  CHECK(back.data_ptr() == x.data_ptr());
  CHECK(back.equal(x));
}

TEST_CASE("a hidden context token has no influence and a seen one has") {
  const at::NoGradGuard no_grad;
  UNet2DConditionModel unet(tiny());
  const Inputs in = inputs(1, 8, 8, unet.config());
  UNetExtras extras;
  extras.context_mask = at::ones({1, 6}, at::kBool);
  extras.context_mask[0][4] = false;
  at::Tensor changed = in.context.clone();
  changed[0][4] += 3.0;
  const at::Tensor plain = unet.forward(in.x, in.t, in.context, extras);
  CHECK(unet.forward(in.x, in.t, changed, extras).allclose(plain, 0, 1e-6));
  CHECK_FALSE(unet.forward(in.x, in.t, changed).allclose(plain, 0, 1e-4));
}

TEST_CASE("the mean of a context is that of the tokens its mask counts") {
  const at::Tensor context = at::arange(12, at::kFloat).view({2, 3, 2});
  const at::Tensor mask = at::tensor({1, 1, 0, 0, 0, 0}).to(at::kBool).view({2, 3});
  CHECK(at::equal(mean_context(context, mask), at::tensor({1.F, 2.F, 0.F, 0.F}).view({2, 2})));
  CHECK(at::equal(mean_context(context, {}), at::tensor({2.F, 3.F, 8.F, 9.F}).view({2, 2})));
}

TEST_CASE("a step with prepared conditions gives the same bits as one with the conditions") {
  const at::NoGradGuard no_grad;
  UNetConfig with_all = tiny();
  with_all.class_embed_type = "projection";
  with_all.addition_embed_type = "text_time";
  with_all.addition_time_embed_dim = 8;
  with_all.projection_class_embeddings_input_dim = 12;
  UNetConfig crossed = tiny();
  crossed.only_cross_attention = {false, true};
  for (const UNetConfig& config : {tiny(), with_all, crossed}) {
    UNet2DConditionModel unet(config);
    const Inputs in = inputs(2, 8, 6, config);
    UNetExtras extras;
    extras.context_mask = at::ones({2, 6}, at::kBool);
    extras.context_mask[1][3] = false;
    extras.class_labels = unet.class_labels_of(in.context, extras.context_mask);
    extras.text_embeds = at::randn({2, 4});
    extras.time_ids = at::randn({2, 1});
    extras.time_shift = at::randn({2, config.time_embed_dim()});
    const PreparedConditions prepared = unet.prepare(in.context, extras);
    for (const double t : {0.0, 500.0}) {
      const at::Tensor at = at::full({1}, t);
      CHECK(unet.forward(in.x, at, prepared).equal(unet.forward(in.x, at, in.context, extras)));
    }
    // Prepared conditions hold no network: another network of the same weights takes them, as a
    // reloaded expert does.
    UNet2DConditionModel again(config);
    load_into(again, state_of(unet));
    CHECK(again.forward(in.x, in.t, prepared).equal(unet.forward(in.x, in.t, prepared)));
  }
}

TEST_CASE("a UNet stores its deep features and uses them again at every depth and size") {
  const at::NoGradGuard no_grad;
  UNetConfig bare = tiny();
  bare.mid_block_type.reset();
  UNetConfig deeper = tiny();
  deeper.layers_per_block = {2};
  for (const UNetConfig& config : {tiny(), bare, deeper}) {
    UNet2DConditionModel unet(config);
    for (const auto& [h, w] : {std::pair{8, 8}, {7, 5}, {1, 3}}) {
      const Inputs in = inputs(2, h, w, config);
      const PreparedConditions prepared = unet.prepare(in.context);
      const at::Tensor whole = unet.forward(in.x, in.t, prepared);
      for (int64_t depth = 1; depth < config.skip_states(); ++depth) {
        DeepFeatures deep{depth, {}};
        UNetStepExtras extras;
        extras.deep = &deep;
        CHECK(unet.forward(in.x, in.t, prepared, extras).equal(whole));
        REQUIRE(deep.state.defined());
        CHECK(unet.forward(in.x, in.t, prepared, extras).equal(whole));
        // Of another latent they give another picture, and the shallow part still sees the latent.
        const at::Tensor other = unet.forward(-in.x, in.t, prepared, extras);
        CHECK_FALSE(other.equal(whole));
        CHECK_FALSE(other.equal(unet.forward(-in.x, in.t, prepared)));
      }
    }
  }
}

TEST_CASE("a UNet that uses deep features again computes its shallow layers alone") {
  const at::NoGradGuard no_grad;
  UNet2DConditionModel unet(tiny());
  CHECK(unet.config().skip_states() == 4);
  const Inputs in = inputs(1, 8, 8, unet.config());
  const PreparedConditions prepared = unet.prepare(in.context);
  const auto blocks_at = [&](int64_t depth) {
    DeepFeatures deep{depth, {}};
    UNetStepExtras extras;
    extras.deep = &deep;
    unet.forward(in.x, in.t, prepared, extras);
    std::set<std::string> names;
    extras.trace = [&](const std::string& name, const at::Tensor&) {
      const bool is_block = name.find("resnets") != std::string::npos ||
                            name.find("samplers") != std::string::npos ||
                            name.find("mid_block") != std::string::npos;
      if (is_block) names.insert(name);
    };
    unet.forward(in.x, in.t, prepared, extras);
    return names;
  };
  using Names = std::set<std::string>;
  CHECK(blocks_at(1) == Names{"up_blocks.1.resnets.1"});
  CHECK(blocks_at(2) ==
        Names{"down_blocks.0.resnets.0", "up_blocks.1.resnets.0", "up_blocks.1.resnets.1"});
  CHECK(blocks_at(3) == Names{"down_blocks.0.resnets.0", "down_blocks.0.downsamplers.0",
                              "up_blocks.0.resnets.1", "up_blocks.0.upsamplers.0",
                              "up_blocks.1.resnets.0", "up_blocks.1.resnets.1"});
}

TEST_CASE("deep features of another depth, size or batch are refused") {
  const at::NoGradGuard no_grad;
  UNet2DConditionModel unet(tiny());
  const Inputs in = inputs(2, 8, 8, unet.config());
  const PreparedConditions prepared = unet.prepare(in.context);
  const auto refused = [&](DeepFeatures deep) {
    UNetStepExtras extras;
    extras.deep = &deep;
    return contains(refusal_of([&] { unet.forward(in.x, in.t, prepared, extras); }), "'deep'");
  };
  CHECK(refused({0, {}}));
  CHECK(refused({4, {}}));
  CHECK(refused({2, at::zeros({2, 32, 4, 4})}));
  CHECK(refused({2, at::zeros({1, 32, 8, 8})}));
}

TEST_CASE("prepared conditions of another network or batch are refused") {
  const at::NoGradGuard no_grad;
  UNet2DConditionModel unet(tiny());
  UNetConfig deeper = tiny();
  deeper.layers_per_block = {2};
  UNet2DConditionModel other(deeper);
  const Inputs in = inputs(2, 8, 8, unet.config());
  const auto refused = [&](const PreparedConditions& prepared, const at::Tensor& x) {
    try {
      unet.forward(x, at::zeros({1}), prepared);
    } catch (const Error& error) {
      return std::string(error.what()).find("'prepared'") != std::string::npos;
    }
    return false;
  };
  CHECK(refused(other.prepare(in.context), in.x));
  CHECK(refused(unet.prepare(in.context), in.x.narrow(0, 0, 1)));
  CHECK(refused({}, in.x));
}

TEST_CASE("a network with time_cond_proj_dim reads the guidance scale, and needs it") {
  const at::NoGradGuard no_grad;
  UNetConfig config = tiny();
  config.time_cond_proj_dim = 24;
  CHECK(unet_config_from_json(to_json(config)) == config);
  UNet2DConditionModel unet(config);
  CHECK(unet.named_parameters().contains("time_embedding.cond_proj.weight"));
  CHECK(!unet.named_parameters().contains("time_embedding.cond_proj.bias"));
  const Inputs in = inputs(2, 8, 8, config);
  const auto with_scale = [&](double scale) {
    UNetExtras extras;
    extras.guidance = at::full({2}, scale);
    const at::Tensor whole = unet.forward(in.x, in.t, in.context, extras);
    CHECK(at::equal(whole, unet.forward(in.x, in.t, unet.prepare(in.context, extras))));
    return whole;
  };
  CHECK(!at::allclose(with_scale(1.5), with_scale(7.5)));
  CHECK_THROWS_WITH_AS(unet.forward(in.x, in.t, in.context), doctest::Contains("guidance"), Error);
}

TEST_CASE("zero_init_output makes a fresh model predict zero") {
  const at::NoGradGuard no_grad;
  UNet2DConditionModel unet(tiny());
  const Inputs in = inputs(1, 8, 8, unet.config());
  CHECK(unet.forward(in.x, in.t, in.context).abs().max().item<float>() > 1e-3f);
  zero_init_output(unet);
  CHECK(unet.forward(in.x, in.t, in.context).abs().max().item<float>() == 0.0f);
}

TEST_CASE("a batch is the same as its samples one by one") {
  const at::NoGradGuard no_grad;
  UNet2DConditionModel unet(tiny());
  const Inputs in = inputs(3, 6, 10, unet.config());
  const at::Tensor together = unet.forward(in.x, in.t, in.context);
  for (int64_t i = 0; i < 3; ++i) {
    const at::Tensor alone =
        unet.forward(in.x.narrow(0, i, 1), in.t.narrow(0, i, 1), in.context.narrow(0, i, 1));
    CHECK(alone.allclose(together.narrow(0, i, 1), 1e-4, 1e-5));
  }
}

TEST_CASE("a wrong shape is refused by the input's name") {
  UNet2DConditionModel unet(tiny());
  const Inputs in = inputs(2, 8, 8, unet.config());
  const auto message = [&](const at::Tensor& x, const at::Tensor& t, const at::Tensor& context,
                           const UNetExtras& extras = {}) -> std::string {
    try {
      unet.forward(x, t, context, extras);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  CHECK(message(at::randn({2, 4, 8, 8}), in.t, in.context).find("'sample'") != std::string::npos);
  CHECK(message(in.x, at::zeros({3}), in.context).find("'t_index'") != std::string::npos);
  CHECK(message(in.x, in.t, at::randn({2, 6, 13})).find("'context'") != std::string::npos);
  UNetExtras extras;
  extras.down_residuals = {at::zeros({1})};
  CHECK(message(in.x, in.t, in.context, extras).find("'down_residuals'") != std::string::npos);
}

TEST_CASE("a configuration survives the way to JSON and back") {
  UNetConfig c = tiny();
  c.sample_size = 16;
  c.transformer_layers_per_block = {{1}, {3}};
  c.mid_block_type = std::nullopt;
  c.addition_embed_type = "text_time";
  c.addition_time_embed_dim = 8;
  c.projection_class_embeddings_input_dim = 40;
  CHECK(unet_config_from_json(to_json(c)) == c);
}

TEST_CASE("depths may be numbers for each attention, with a list of the upward half's") {
  UNetConfig c = tiny();
  c.layers_per_block = {2};
  const size_t levels = c.block_out_channels.size();
  const auto layers = static_cast<size_t>(at_level(c.layers_per_block, 0));
  nlohmann::json json = to_json(c);
  const Depths down(layers, 2), up(layers + 1, 3);
  json["transformer_layers_per_block"] = nlohmann::json::array();
  json["reverse_transformer_layers_per_block"] = nlohmann::json::array();
  for (size_t i = 0; i < levels; ++i) {
    const bool goes_down = c.down_block_types[i].starts_with("Cross");
    const bool goes_up = c.up_block_types[i].starts_with("Cross");
    json["transformer_layers_per_block"].push_back(goes_down ? nlohmann::json(down)
                                                             : nlohmann::json(0));
    json["reverse_transformer_layers_per_block"].push_back(goes_up ? nlohmann::json(up)
                                                                   : nlohmann::json(0));
  }
  const UNetConfig read = unet_config_from_json(json);
  CHECK(unet_config_from_json(to_json(read)) == read);
  json.erase("reverse_transformer_layers_per_block");
  CHECK_THROWS_WITH_AS(unet_config_from_json(json), doctest::Contains("reverse_transformer"),
                       Error);
}

TEST_CASE("a configuration that is not supported is refused by key") {
  const auto message = [](const char* key, const nlohmann::json& value) -> std::string {
    nlohmann::json json = to_json(tiny());
    json[key] = value;
    try {
      unet_config_from_json(json);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const std::pair<const char*, nlohmann::json> bad[] = {
      {"act_fn", "mish"},
      {"class_embeddings_concat", true},
      {"down_block_types", {"AttnDownBlock2D", "DownBlock2D"}},
      {"block_out_channels", {16, 30}},
      {"attention_head_dim", 5},
      {"layers_per_block", "two"},
      {"layers_per_block", {1, 1, 1}},
      {"num_attention_heads", 8},
      {"time_embedding_type", "fourier"},
      {"encoder_hid_dim", 4096},
      {"a_key_of_tomorrow", 3}};
  for (const auto& [key, value] : bad) {
    CHECK_MESSAGE(message(key, value).find("'" + std::string(key) + "'") != std::string::npos, key);
  }
  CHECK(message("a_key_of_tomorrow", nullptr).empty());
  CHECK(message("_diffusers_version", "0.42.1").empty());
}

}  // namespace
}  // namespace pangu::nn
