#include "io/lora/textual_inversion.h"

#include <doctest/doctest.h>

#include <array>

#include "core/error.h"
#include "core/testing.h"

using namespace pangu;
using namespace pangu::io;

namespace {

const std::array<float, 4096> kRows{};
const TextWidths kOne = {{"text_encoder", 8}};
const TextWidths kTwo = {{"text_encoder", 8}, {"text_encoder_2", 16}};

TensorView rows(std::vector<int64_t> shape) {
  const auto bytes = static_cast<size_t>(element_count(shape)) * sizeof(float);
  REQUIRE(bytes <= sizeof kRows);
  return {DType::F32, std::move(shape), reinterpret_cast<const std::byte*>(kRows.data()), bytes};
}

// The words of several files; each must be complete.
std::vector<Embedding> words_of(const std::vector<std::pair<std::string, TensorViews>>& files,
                                const TextWidths& widths) {
  std::vector<Embedding> all;
  for (const auto& [name, tensors] : files) {
    add_embedding(all, parse_textual_inversion(tensors, widths, name), name);
  }
  for (const Embedding& embedding : all) check_complete(embedding, widths);
  return all;
}

std::string refused(const std::vector<std::pair<std::string, TensorViews>>& files,
                    const TextWidths& widths) {
  return refusal_of([&] { words_of(files, widths); });
}

}  // namespace

TEST_CASE("a word of one encoder is found in every form of file, and called as the file is") {
  for (const TensorViews& tensors :
       {TensorViews{{"emb_params", rows({3, 8})}}, TensorViews{{"string_to_param.*", rows({3, 8})}},
        TensorViews{{"clip_l", rows({3, 8})}}, TensorViews{{"*", rows({3, 8})}},
        TensorViews{{"text_encoders_0", rows({3, 8})}}}) {
    CAPTURE(tensors.begin()->first);
    CHECK(looks_like_textual_inversion(tensors));
    const auto words = words_of({{"folder/bad-hands.5.safetensors", tensors}}, kOne);
    REQUIRE(words.size() == 1);
    CHECK(words[0].word == "bad-hands.5");
    CHECK(words[0].vectors.at("text_encoder").shape == std::vector<int64_t>{3, 8});
  }
  const auto words = words_of({{"learned.safetensors", {{"<cat>", rows({8})}}}}, kOne);
  CHECK(words.at(0).word == "<cat>");
  CHECK(words.at(0).vectors.at("text_encoder").shape == std::vector<int64_t>{1, 8});
}

TEST_CASE("a word of two encoders is found in one file or in two") {
  const auto both = [](const std::vector<std::pair<std::string, TensorViews>>& files) {
    const auto words = words_of(files, kTwo);
    REQUIRE(words.size() == 1);
    CHECK(words[0].vectors.at("text_encoder").shape == std::vector<int64_t>{2, 8});
    CHECK(words[0].vectors.at("text_encoder_2").shape == std::vector<int64_t>{2, 16});
    return words[0].word;
  };
  const TensorView narrow = rows({2, 8}), wide = rows({2, 16});
  CHECK(both({{"fox.safetensors", {{"clip_l", narrow}, {"clip_g", wide}}}}) == "fox");
  CHECK(both({{"fox.safetensors", {{"text_encoders_0", narrow}, {"text_encoders_1", wide}}}}) ==
        "fox");
  CHECK(both({{"a/learned_embeds.safetensors", {{"<fox>", narrow}}},
              {"a/learned_embeds_2.safetensors", {{"<fox>", wide}}}}) == "<fox>");
  CHECK(both({{"fox.safetensors", {{"emb_params", narrow}}},
              {"fox_2.safetensors", {{"emb_params", wide}}}}) == "fox");
}

TEST_CASE("words for other widths, halves, doubles and other files are refused") {
  const TensorView narrow = rows({3, 8}), wide = rows({3, 16});
  CHECK(contains(refused({{"x", {{"emb_params", rows({3, 9})}}}}, kOne), "width 9"));
  CHECK(contains(refused({{"x", {{"emb_params", narrow}}}}, kTwo), "text_encoder_2"));
  CHECK(contains(refused({{"x", {{"clip_g", wide}}}}, kTwo), "vectors for text_encoder"));
  CHECK(
      contains(refused({{"x", {{"clip_l", narrow}, {"clip_g", rows({2, 16})}}}}, kTwo), "equally"));
  CHECK(contains(refused({{"x", {{"clip_g", wide}}}}, kOne), "text_encoder_2"));
  CHECK(contains(refused({{"x", {{"emb_params", narrow}}}, {"x", {{"emb_params", narrow}}}}, kOne),
                 "each word once"));
  CHECK(contains(refused({{"x", {{"emb_params", rows({3, 8, 1})}}}}, kOne), "textual inversion"));
  CHECK(contains(refused({{"x", {{"conv.weight", narrow}}}}, kOne), "textual inversion"));
}

TEST_CASE("words that come along in a LoRA are told apart from its changes") {
  const TensorViews tensors = {{"bundle_emb.v1.5 fox.emb_params", rows({2, 8})},
                               {"bundle_emb.owl.string_to_param.*", rows({2, 8})},
                               {"bundle_emb.hen.clip_l", rows({2, 8})},
                               {"bundle_emb.hen.clip_g", rows({2, 16})},
                               {"lora_unet_conv_in.lora_down.weight", rows({2, 8})}};
  const auto words = bundled_embeddings(tensors);
  REQUIRE(words.size() == 3);
  CHECK(words.at("v1.5 fox").contains("emb_params"));
  CHECK(words.at("owl").contains("string_to_param.*"));
  CHECK(words.at("hen").size() == 2);
  CHECK_FALSE(is_bundled_embedding("lora_unet_conv_in.lora_down.weight"));
}
