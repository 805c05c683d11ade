#include "io/lora/lora_names.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "core/error.h"
#include "core/testing.h"
#include "io/lora/lora_settings.h"

using namespace pangu;
using namespace pangu::io;

namespace {

const std::array<float, 4096> kZeros{};
const std::array<float, 1> kAlpha = {2.0F};
const std::string kBlock = "down_blocks.0.attentions.0.transformer_blocks.0.";

TensorView zeros(std::vector<int64_t> shape) {
  const auto bytes = static_cast<size_t>(element_count(shape)) * sizeof(float);
  REQUIRE(bytes <= sizeof kZeros);
  return {DType::F32, std::move(shape), reinterpret_cast<const std::byte*>(kZeros.data()), bytes};
}

TensorView number() {
  return {DType::F32, {}, reinterpret_cast<const std::byte*>(kAlpha.data()), 4};
}

BaseModules base() {
  return {{"unet",
           {{kBlock + "attn1.to_q", {{32, 32}}},
            {kBlock + "attn1.to_out.0", {{32, 32}, {32}}},
            {kBlock + "attn2.to_k", {{32, 24}}},
            {kBlock + "norm1", {{32}, {32}}},
            {"down_blocks.0.attentions.0.proj_in", {{32, 32, 1, 1}, {32}}},
            {"down_blocks.0.resnets.0.conv1", {{32, 16, 3, 3}, {32}}}}},
          {"text_encoder", {{"text_model.encoder.layers.0.self_attn.q_proj", {{24, 24}, {24}}}}}};
}

TensorViews pair(const std::string& down, const std::string& up, int64_t in, int64_t out,
                 int64_t rank = 2) {
  return {{down, zeros({rank, in})}, {up, zeros({out, rank})}};
}

TensorViews kohya(const std::string& module, int64_t in = 32, int64_t out = 32) {
  return pair(module + ".lora_down.weight", module + ".lora_up.weight", in, out);
}

Lora parse(const TensorViews& tensors, const Metadata& metadata = {}) {
  return parse_lora(tensors, metadata, base(), "x.safetensors");
}

std::string message_of(const TensorViews& tensors, const Metadata& metadata = {}) {
  return refusal_of([&] { parse(tensors, metadata); });
}

}  // namespace

TEST_CASE("one change is found by every spelling of its module") {
  const std::string dotted = kBlock + "attn1.to_out.0";
  const std::vector<TensorViews> spellings = {
      kohya("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0"),
      kohya("lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_out_0"),
      pair("unet." + dotted + ".lora_A.weight", "unet." + dotted + ".lora_B.weight", 32, 32),
      pair(dotted + ".lora_A.weight", dotted + ".lora_B.weight", 32, 32),
      pair("unet." + dotted + ".lora.down.weight", "unet." + dotted + ".lora.up.weight", 32, 32),
      pair("unet." + kBlock + "attn1.processor.to_out_lora.down.weight",
           "unet." + kBlock + "attn1.processor.to_out_lora.up.weight", 32, 32),
      pair("base_model.model." + dotted + ".lora_A.weight",
           "base_model.model." + dotted + ".lora_B.weight", 32, 32),
      pair("base_model.model." + dotted + ".lora_A.default.weight",
           "base_model.model." + dotted + ".lora_B.default.weight", 32, 32),
      pair("unet.input_blocks.1.1.transformer_blocks.0.attn1.to_out.0.lora_down.weight",
           "unet.input_blocks.1.1.transformer_blocks.0.attn1.to_out.0.lora_up.weight", 32, 32),
      kohya("lycoris_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0"),
      pair("diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_out.0.lora_A.weight",
           "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_out.0.lora_B.weight", 32,
           32)};
  for (const TensorViews& tensors : spellings) {
    CAPTURE(tensors.begin()->first);
    const Lora lora = parse(tensors);
    REQUIRE(lora.deltas.size() == 1);
    CHECK(lora.deltas[0].component == "unet");
    CHECK(lora.deltas[0].module == dotted);
    CHECK(lora.deltas[0].alpha == 2.0);  // the rank, as nothing is said
  }
}

TEST_CASE("a text encoder's change is found by every spelling") {
  const std::string path = "encoder.layers.0.self_attn.";
  for (const TensorViews& tensors :
       {kohya("lora_te_text_model_encoder_layers_0_self_attn_q_proj", 24, 24),
        kohya("lora_te1_text_model_encoder_layers_0_self_attn_q_proj", 24, 24),
        pair("text_encoder.text_model." + path + "q_proj.lora_linear_layer.down.weight",
             "text_encoder.text_model." + path + "q_proj.lora_linear_layer.up.weight", 24, 24),
        pair("text_encoder.text_model." + path + "to_q_lora.down.weight",
             "text_encoder.text_model." + path + "to_q_lora.up.weight", 24, 24),
        pair("text_encoder." + path + "q_proj.lora_A.weight",
             "text_encoder." + path + "q_proj.lora_B.weight", 24, 24),
        pair("text_encoders.clip_l.transformer.text_model." + path + "q_proj.lora_down.weight",
             "text_encoders.clip_l.transformer.text_model." + path + "q_proj.lora_up.weight", 24,
             24),
        pair("clip_l.text_model." + path + "q_proj.lora_down.weight",
             "clip_l.text_model." + path + "q_proj.lora_up.weight", 24, 24)}) {
    CAPTURE(tensors.begin()->first);
    const Lora lora = parse(tensors);
    REQUIRE(lora.deltas.size() == 1);
    CHECK(lora.deltas[0].component == "text_encoder");
    CHECK(lora.deltas[0].module == "text_model." + path + "q_proj");
  }
}

TEST_CASE("convolutions, their Tucker form, and 1x1 convolutions as matrices fit") {
  const std::string conv = "lora_unet_down_blocks_0_resnets_0_conv1";
  TensorViews tensors = {{conv + ".lora_down.weight", zeros({2, 16, 3, 3})},
                         {conv + ".lora_up.weight", zeros({32, 2, 1, 1})},
                         {conv + ".alpha", number()}};
  CHECK(parse(tensors).deltas[0].alpha == 2.0);
  tensors[conv + ".lora_down.weight"] = zeros({2, 16, 1, 1});
  CHECK(contains(message_of(tensors), "lora_down"));
  tensors[conv + ".lora_mid.weight"] = zeros({2, 2, 3, 3});
  CHECK(parse(tensors).deltas[0].parts.contains(LoraPart::kMid));
  tensors[conv + ".lora_mid.weight"] = zeros({2, 3, 3, 3});
  CHECK(contains(message_of(tensors), "lora_mid"));
  CHECK(parse(kohya("lora_unet_down_blocks_0_attentions_0_proj_in")).deltas.size() == 1);
}

TEST_CASE("alphas come from the file, else from what diffusers wrote beside it") {
  TensorViews tensors = kohya("lora_unet_down_blocks_0_attentions_0_proj_in");
  const std::string settings =
      R"({"unet.lora_alpha":8,"unet.alpha_pattern":{"down_blocks.0.attentions.0.proj_in":5}})";
  CHECK(parse(tensors, {{"lora_adapter_metadata", settings}}).deltas[0].alpha == 5.0);
  CHECK(parse(tensors, {{"lora_adapter_metadata", R"({"unet.lora_alpha":8})"}}).deltas[0].alpha ==
        8.0);
  const std::string rooted = R"({"unet.lora_alpha":8,"unet.use_rslora":true})";
  CHECK(parse(tensors, {{"lora_adapter_metadata", rooted}}).deltas[0].alpha ==
        doctest::Approx(8 * std::sqrt(2.0)));  // alpha / sqrt(rank) as alpha' / rank
  tensors["lora_unet_down_blocks_0_attentions_0_proj_in.alpha"] = number();
  CHECK(parse(tensors, {{"lora_adapter_metadata", settings}}).deltas[0].alpha == 2.0);
  CHECK(contains(message_of(tensors, {{"lora_adapter_metadata", R"({"unet.use_dora":true})"}}),
                 "DoRA's norms"));
  CHECK(contains(message_of(tensors, {{"lora_adapter_metadata", "[]"}}), "JSON object"));
}

TEST_CASE("PEFT's configuration beside the file says alphas, square roots and DoRA") {
  const auto with = [](const std::string& config) { return Metadata{{kAdapterConfigKey, config}}; };
  TensorViews tensors = kohya("lora_unet_down_blocks_0_attentions_0_proj_in");
  const auto alpha = [&](const std::string& config) {
    return parse(tensors, with(config)).deltas[0].alpha;
  };
  CHECK(alpha(R"({"peft_type":"LORA","r":2,"lora_alpha":8})") == 8.0);
  CHECK(alpha(R"({"lora_alpha":8,"use_rslora":true})") == doctest::Approx(8 * std::sqrt(2.0)));
  // Ends of paths count, as in PEFT; the first pattern that matches is taken.
  CHECK(alpha(R"({"lora_alpha":8,"alpha_pattern":{"conv1":3,"attentions.0.proj_in":5}})") == 5.0);
  CHECK(alpha(R"({"lora_alpha":8,"alpha_pattern":{"roj_in":5}})") == 8.0);
  CHECK(alpha(R"({"alpha":3,"peft_type":"LOHA"})") == 3.0);
  CHECK(contains(message_of(tensors, with(R"({"alpha_pattern":{"to_[qk]":5}})")), "to_[qk]"));
  CHECK(contains(message_of(tensors, with(R"({"lora_alpha":"8"})")), "lora_alpha"));
  CHECK(contains(message_of(tensors, with(R"({"peft_type":"OFT"})")), "'OFT'"));
  const Metadata dora = with(R"({"use_dora":true})");
  CHECK(contains(message_of(tensors, dora), "lora_magnitude_vector"));
  CHECK(contains(summarise_lora(tensors, dora).unsupported, "lora_magnitude_vector"));
  tensors["lora_unet_down_blocks_0_attentions_0_proj_in.lora_magnitude_vector"] = zeros({32});
  CHECK(parse(tensors, dora).deltas.size() == 1);
  CHECK(summarise_lora(tensors, dora).unsupported.empty());
}

TEST_CASE("DoRA's norms are of rows or of columns, as trainers shape them") {
  const std::string key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k";
  const auto part_of = [&](const std::string& ending, std::vector<int64_t> shape) {
    TensorViews tensors = pair(key + ".lora_down.weight", key + ".lora_up.weight", 24, 32);
    tensors[key + ending] = zeros(std::move(shape));
    const Lora lora = parse(tensors);
    return lora.deltas[0].parts.rbegin()->first;
  };
  CHECK(part_of(".dora_scale", {32, 1}) == LoraPart::kOutputNorms);
  CHECK(part_of(".dora_scale", {1, 24}) == LoraPart::kInputNorms);
  CHECK(part_of(".lora_magnitude_vector", {32}) == LoraPart::kOutputNorms);
  CHECK(part_of(".lora_magnitude_vector.default.weight", {32}) == LoraPart::kOutputNorms);
  CHECK_THROWS_AS(part_of(".dora_scale", {1, 32}), Error);
  CHECK_THROWS_AS(part_of(".lora_magnitude_vector", {24}), Error);
}

TEST_CASE("LoHa, LoKr and differences are changes of their modules") {
  const std::string linear =
      "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0";
  const std::string conv = "lora_unet_down_blocks_0_resnets_0_conv1";
  const auto form_of = [](const TensorViews& tensors) { return parse(tensors).deltas[0].form; };
  TensorViews loha = {{linear + ".hada_w1_a", zeros({32, 4})},
                      {linear + ".hada_w1_b", zeros({4, 32})},
                      {linear + ".hada_w2_a", zeros({32, 4})},
                      {linear + ".hada_w2_b", zeros({4, 32})},
                      {linear + ".alpha", number()}};
  CHECK(form_of(loha) == LoraForm::kHadamard);
  CHECK(parse(loha).deltas[0].alpha == 2.0);
  CHECK(parse(loha).deltas[0].rank == 4.0);
  loha.erase(linear + ".hada_w2_b");
  CHECK(contains(message_of(loha), "w2_b"));
  CHECK(form_of({{conv + ".hada_w1_a", zeros({4, 32})},
                 {conv + ".hada_w1_b", zeros({4, 16})},
                 {conv + ".hada_t1", zeros({4, 4, 3, 3})},
                 {conv + ".hada_w2_a", zeros({4, 32})},
                 {conv + ".hada_w2_b", zeros({4, 16})},
                 {conv + ".hada_t2", zeros({4, 4, 3, 3})}}) == LoraForm::kHadamard);
  // Both factors whole: no rank, whatever alpha says.
  const Lora whole = parse({{linear + ".lokr_w1", zeros({4, 8})},
                            {linear + ".lokr_w2", zeros({8, 4})},
                            {linear + ".alpha", number()}});
  CHECK(whole.deltas[0].form == LoraForm::kKronecker);
  CHECK(whole.deltas[0].alpha / whole.deltas[0].rank == 1.0);
  CHECK(form_of({{conv + ".lokr_w1_a", zeros({4, 2})},
                 {conv + ".lokr_w1_b", zeros({2, 4})},
                 {conv + ".lokr_t2", zeros({2, 2, 3, 3})},
                 {conv + ".lokr_w2_a", zeros({2, 8})},
                 {conv + ".lokr_w2_b", zeros({2, 4})}}) == LoraForm::kKronecker);
  CHECK(contains(
      message_of({{linear + ".lokr_w1", zeros({5, 8})}, {linear + ".lokr_w2", zeros({8, 4})}}),
      "lokr_w1"));
  CHECK(contains(message_of({{linear + ".lokr_w1_a", number()},
                             {linear + ".lokr_w1_b", zeros({2, 4})},
                             {linear + ".lokr_w2", zeros({8, 4})}}),
                 "lokr_w1_a"));
  CHECK(form_of({{linear + ".diff", zeros({32, 32})}, {linear + ".diff_b", zeros({32})}}) ==
        LoraForm::kDifference);
  const std::string norm = "lora_unet_input_blocks_1_1_transformer_blocks_0_norm1";
  CHECK(form_of({{norm + ".w_norm", zeros({32})}, {norm + ".b_norm", zeros({32})}}) ==
        LoraForm::kDifference);
  CHECK(contains(message_of({{norm + ".w_norm", zeros({31})}}), "[31]"));
  CHECK(contains(message_of({{"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
                              ".diff_b",
                              zeros({32})}}),
                 "a module that has a bias"));
  TensorViews two_forms = kohya(linear);
  two_forms[linear + ".diff"] = zeros({32, 32});
  CHECK(contains(message_of(two_forms), "one form of change a module"));
}

TEST_CASE("modules that do not fit are left out and named, if most fit") {
  const std::string first = "lora_unet_down_blocks_0_attentions_0_proj_in",
                    second = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
                    other = "lora_te_text_model_encoder_layers_23_self_attn_q_proj";
  TensorViews tensors = kohya(first);
  tensors.merge(kohya(other, 24, 24));
  CHECK(contains(message_of(tensors), "a module of the model's text_encoder"));
  tensors.merge(kohya(second));
  tensors["step"] = number();
  const Lora lora = parse(tensors);
  CHECK(lora.deltas.size() == 2);
  REQUIRE(lora.misfits.size() == 1);
  CHECK(contains(lora.misfits[0], other));
  const std::vector<std::string> sentences = left_out(lora, "x.safetensors");
  REQUIRE(sentences.size() == 2);
  CHECK(contains(sentences[0], "'x.safetensors': 1 of 3 modules"));
  CHECK(contains(sentences[1], "are no part of a LoRA and are left out: 'step'"));
}

TEST_CASE("adapters of other kinds are refused by their names") {
  const auto with = [](const std::string& key) {
    TensorViews tensors = kohya("lora_unet_down_blocks_0_attentions_0_proj_in");
    tensors["lora_unet_conv_in." + key] = zeros({2, 2});
    return message_of(tensors);
  };
  CHECK(contains(with("oft_blocks"), "OFT"));
  CHECK(contains(with("boft_R.default"), "BOFT"));
  CHECK(contains(with("on_input"), "IA3"));
  CHECK(contains(with("a1.weight"), "GLoRA"));
  CHECK(contains(with("lora_E"), "AdaLoRA"));
  CHECK(contains(with("lora_A.bias"), "biases"));
}

TEST_CASE(
    "a LoRA of another family is refused with both families and the first tensor that does not "
    "fit") {
  BaseModules sd1 = base();
  sd1["unet"][kBlock + "attn2.to_k"] = {{32, 768}};
  const auto refused = [&](const TensorViews& tensors) {
    try {
      parse_lora(tensors, {}, sd1, "x");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  const std::string key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k";
  const std::string shape =
      refused(pair(key + ".lora_down.weight", key + ".lora_up.weight", 2048, 32, 1));
  CHECK(contains(shape, "a LoRA for Stable Diffusion 1.x"));
  CHECK(contains(shape, "one for SDXL base"));
  CHECK(contains(shape, key + ".lora_down.weight"));
  CHECK(contains(shape, "[1,2048]"));
  CHECK(
      contains(refused(kohya("lora_unet_double_blocks_0_img_attn_qkv")), "diffusion transformer"));
  CHECK(contains(refused(kohya("lora_unet_up_blocks_9_conv")), "a module of the model's unet"));
  CHECK(contains(refused(kohya("lora_te2_text_model_encoder_layers_0_mlp_fc1")), "text_encoder_2"));
}

TEST_CASE("halves without their other half, doubles, odd shapes and foreign files are refused") {
  const std::string key = "lora_unet_down_blocks_0_attentions_0_proj_in";
  TensorViews half = kohya(key);
  half.erase(key + ".lora_up.weight");
  CHECK(contains(message_of(half), "down without up"));
  CHECK(contains(message_of(kohya(key, 33)), "[2,33]"));
  CHECK(contains(message_of(kohya(key, 32, 33)), "[33,2]"));
  TensorViews both = kohya(key);
  both.merge(kohya("lora_unet_input_blocks_1_1_proj_in"));
  CHECK(contains(message_of(both), "twice"));
  CHECK(contains(message_of({{key + ".lora_down.weight", zeros({0, 32})},
                             {key + ".lora_up.weight", zeros({32, 0})}}),
                 "[0,32]"));
  CHECK(contains(message_of({{"emb_params", zeros({2, 8})}}), "textual inversion"));
  CHECK(contains(message_of({}), "no tensors"));
}

TEST_CASE("a summary needs no base") {
  TensorViews tensors = kohya("lora_unet_input_blocks_1_1_proj_in");
  const std::string key = "lora_unet_output_blocks_1_1_transformer_blocks_0_attn2_to_k";
  tensors.merge(pair(key + ".lora_down.weight", key + ".lora_up.weight", 2048, 1, 1));
  tensors[key + ".alpha"] = number();
  tensors["bundle_emb.x.emb_params"] = zeros({1, 8});
  const LoraSummary summary = summarise_lora(tensors, {});
  CHECK(summary.family == Family::kSdxl);
  CHECK(summary.layout == Layout::kKohya);
  CHECK(summary.ranks == std::map<int64_t, size_t>{{1, 1}, {2, 1}});
  CHECK(summary.alphas == std::map<double, size_t>{{2.0, 1}});
  CHECK(summary.targets == std::map<std::string, size_t>{{"unet", 2}});
  CHECK(summary.forms == std::map<std::string, size_t>{{"LoRA", 2}});
  CHECK(summary.embeddings == std::vector<std::string>{"x"});
  CHECK(summary.ignored.empty());
  CHECK(recognise(tensors).human_name == "LoRA for SDXL base");
}
