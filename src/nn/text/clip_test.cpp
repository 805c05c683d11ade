// Tests CLIP's two encoders where no reference is needed: laws, refusals, configurations.
// tests/parity/clip_test.cpp compares them with transformers.
#include <doctest/doctest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/testing.h"
#include "nn/text/clip_text.h"
#include "nn/text/clip_vision.h"

using namespace pangu;
using namespace pangu::nn;

namespace {

ClipTextConfig tiny_text() {
  ClipTextConfig c;
  c.vocab_size = 50;
  c.hidden_size = 64;
  c.intermediate_size = 96;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 1;
  c.max_position_embeddings = 9;
  c.eos_token_id = 7;
  c.projection_dim = 24;
  c.has_projection = true;
  return c;
}

ClipVisionConfig tiny_vision() {
  ClipVisionConfig c;
  c.hidden_size = 64;
  c.intermediate_size = 96;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 1;
  c.image_size = 32;
  c.patch_size = 8;
  c.projection_dim = 24;
  return c;
}

}  // namespace

TEST_CASE("a token of a CLIP prompt does not see those after it") {
  const at::NoGradGuard no_grad;
  torch::manual_seed(1);
  ClipTextModel model(tiny_text());
  at::Tensor ids = at::randint(8, 50, {1, 9}, at::kLong);
  const at::Tensor before = model.forward(ids).last_hidden;
  ids[0][5] = (ids[0][5].item<int64_t>() - 7) % 43 + 8;
  const at::Tensor after = model.forward(ids).last_hidden;
  CHECK(at::allclose(before.narrow(1, 0, 5), after.narrow(1, 0, 5), 0, 1e-6));
  CHECK_FALSE(at::allclose(before.narrow(1, 5, 4), after.narrow(1, 5, 4), 0, 1e-3));
}

TEST_CASE("CLIP pools at the first end token, at the greatest id, or where it is told to") {
  const at::NoGradGuard no_grad;
  torch::manual_seed(2);
  const at::Tensor ids = at::tensor({1, 30, 7, 40, 7, 20}, at::kLong).unsqueeze(0);
  ClipTextConfig config = tiny_text();
  ClipTextModel model(config);
  ClipTextOutput out = model.forward(ids);
  CHECK(at::equal(out.pooled, out.last_hidden.select(1, 2)));
  ClipTextRequest request;
  request.pool_at = at::tensor({5}, at::kLong);
  out = model.forward(ids, request);
  CHECK(at::equal(out.pooled, out.last_hidden.select(1, 5)));
  config.eos_token_id = 2;
  ClipTextModel legacy(config);
  out = legacy.forward(ids);
  CHECK(at::equal(out.pooled, out.last_hidden.select(1, 3)));
  CHECK(out.hidden_states.empty());
}

TEST_CASE("CLIP refuses prompts that do not fit it") {
  ClipTextModel model(tiny_text());
  const auto ask = [&](const at::Tensor& ids, const ClipTextRequest& request = {}) {
    return refusal_of([&] { model.forward(ids, request); });
  };
  const at::Tensor ids = at::ones({2, 9}, at::kLong);
  CHECK(ask(ids) == "accepted");
  CHECK(contains(ask(at::ones({2, 10}, at::kLong)), "at most 9 tokens"));
  CHECK(contains(ask(ids * 50), "0..49"));
  CHECK(contains(ask(ids * -1), "found -1"));
  CHECK(contains(ask(ids.to(at::kInt)), "int64"));
  CHECK(contains(ask(at::empty({0, 9}, at::kLong)), "at least one"));
  CHECK(contains(ask({}), "nothing"));
  ClipTextRequest request;
  request.added_embeddings = at::zeros({2, 64});
  CHECK(ask(ids * 51, request) == "accepted");
  CHECK(contains(ask(ids * 52, request), "0..51"));
  request.added_embeddings = at::zeros({2, 63});
  CHECK(contains(ask(ids, request), "[tokens,64]"));
  request = {};
  request.pool_at = at::tensor({0, 9}, at::kLong);
  CHECK(contains(ask(ids, request), "below the prompt's length"));
  CHECK(contains(refusal_of([&] { model.final_norm(at::zeros({2, 3})); }), "[...,64]"));
}

TEST_CASE("CLIP in bf16 stays near f32") {
  const at::NoGradGuard no_grad;
  torch::manual_seed(3);
  ClipTextModel model(tiny_text());
  const at::Tensor ids = at::randint(8, 50, {2, 9}, at::kLong);
  const at::Tensor want = model.forward(ids).last_hidden;
  model.to(at::kBFloat16);
  const at::Tensor got = model.forward(ids).last_hidden;
  CHECK((got.scalar_type() == at::kBFloat16));
  // Two layers with 8-bit mantissas are off by a small multiple of 2^-8 of the greatest value.
  CHECK((got.to(at::kFloat) - want).abs().max().item<double>() <
        0.02 * want.abs().max().item<double>());
}

TEST_CASE("CLIP configurations come back from JSON and from shapes, and bad ones are named") {
  const ClipTextConfig text = tiny_text();
  CHECK(ClipTextConfig::from_json(text.to_json()) == text);
  const ClipVisionConfig vision = tiny_vision();
  CHECK(ClipVisionConfig::from_json(vision.to_json()) == vision);

  TensorShapes shapes = shapes_of(ClipTextModel(text));
  ClipTextConfig read = clip_text_config_from_shapes(shapes, text.hidden_act);
  CHECK(read.eos_token_id == 2);
  read.eos_token_id = text.eos_token_id;
  CHECK(read == text);
  TensorShapes pictures = shapes_of(ClipVisionModel(vision));
  CHECK(clip_vision_config_from_shapes(pictures, vision.hidden_act) == vision);

  const auto of_shapes = [&] {
    return refusal_of([&] { clip_text_config_from_shapes(shapes, Activation::kGelu); });
  };
  shapes.erase("text_model.encoder.layers.0.mlp.fc1.weight");
  CHECK(contains(of_shapes(), "layers.0.mlp.fc1.weight"));
  shapes = {{"something", {1, 2}}};
  CHECK(contains(of_shapes(), "token_embedding"));
  shapes = {{"text_model.embeddings.token_embedding.weight", {5}}};
  CHECK(contains(of_shapes(), "2 dimensions"));
  pictures["vision_model.embeddings.position_embedding.weight"] = {19, 64};
  CHECK(contains(refusal_of([&] { clip_vision_config_from_shapes(pictures, Activation::kGelu); }),
                 "square"));

  const auto with = [&](const char* key, const nlohmann::json& value) {
    nlohmann::json json = text.to_json();
    json[key] = value;
    return refusal_of([&] { ClipTextConfig::from_json(json); });
  };
  CHECK(contains(with("hidden_size", -1), "hidden_size"));
  CHECK(contains(with("hidden_size", "wide"), "an integer"));
  CHECK(contains(with("num_attention_heads", 5), "a divisor"));
  CHECK(contains(with("hidden_act", "relu"), "quick_gelu"));
  CHECK(contains(with("model_type", "bert"), "clip_text_model"));
  CHECK(contains(with("vocab_size", int64_t{1} << 60), "vocab_size"));
}

TEST_CASE("names of text encoders written by any version of transformers become ours") {
  CHECK(clip_text_tensor_name("embeddings.token_embedding.weight") ==
        "text_model.embeddings.token_embedding.weight");
  CHECK(clip_text_tensor_name("text_model.final_layer_norm.bias") ==
        "text_model.final_layer_norm.bias");
  CHECK(clip_text_tensor_name("text_projection.weight") == "text_projection.weight");
  CHECK(clip_text_tensor_name("text_model.embeddings.position_ids").empty());
}

TEST_CASE("the CLIP image encoder takes any picture through its preparation, and nothing else") {
  const at::NoGradGuard no_grad;
  ClipVisionModel model(tiny_vision());
  for (const auto& [height, width] : {std::pair(1, 1), {1, 300}, {33, 31}, {500, 32}}) {
    CAPTURE(height);
    const at::Tensor pixels = clip_pixels(at::rand({2, 3, height, width}), 32);
    CHECK(model.forward(pixels).image_embeds.sizes() == at::IntArrayRef({2, 24}));
  }
  // What is cut is the same picture; what is stretched has the whole of it, in place.
  const at::Tensor wide = at::arange(64).div(64).expand({1, 3, 32, 64}).contiguous();
  const at::Tensor cut = clip_pixels(wide, 32), stretched = clip_pixels_stretched(wide, 32);
  CHECK(stretched.sizes() == at::IntArrayRef({1, 3, 32, 32}));
  const auto span = [](const at::Tensor& x) { return (x.max() - x.min()).item<float>(); };
  CHECK(span(stretched) > 1.8 * span(cut));  // 63 of 31 steps, less what the filter mixes
  CHECK(contains(refusal_of([&] { model.forward(at::zeros({1, 3, 32, 31})); }), "[B,3,32,32]"));
  CHECK(contains(refusal_of([&] { clip_pixels(at::zeros({3, 8, 8})); }), "[B,3,H,W]"));
}
