// Compares the text encoder with transformers' BertModel, layer by layer: a tiny random model
// always, and the real weights when they are there (references by
// tools/parity/dump_text_encoder.py).
#include "nn/text/text_encoder.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/testing.h"
#include "io/mapped_file.h"
#include "tensors/safetensors.h"

namespace pangu::nn {
namespace {

// f32 sums are in another order; the accumulated error of 12 layers stays below this.
constexpr double kRelativeError = 1e-4;
const std::string kData = std::string(kSourceDir) + "/tests/parity/data/";

nlohmann::json tiny_json() {
  return nlohmann::json::parse(io::read_text_file(kData + "text_encoder_tiny.json"));
}

struct Tiny {
  TensorMap reference = tensors::load_safetensors(kData + "text_encoder_tiny.safetensors");
  TensorMap weights;
  TextEncoderConfig config = TextEncoderConfig::from_json(tiny_json());
  Tiny() {
    const std::string prefix = "weights.";
    for (const auto& [name, tensor] : reference) {
      if (name.starts_with(prefix)) weights[name.substr(prefix.size())] = tensor;
    }
  }
};

// Compares every hidden.K of the reference, in depth order, over the tokens that count.
void check_layers(const TextEncoder& encoder, const TensorMap& reference) {
  const at::Tensor mask = reference.at("mask").ne(0).unsqueeze(-1);
  const auto states = encoder.hidden_states(reference.at("ids"), reference.at("mask"));
  int compared = 0;
  for (size_t k = 0; k < states.size(); ++k) {
    const auto found = reference.find("hidden." + std::to_string(k));
    if (found == reference.end()) continue;
    const at::Tensor difference = (states[k] - found->second).abs() * mask;
    const double worst = difference.max().item<double>();
    const double scale = (found->second * mask).abs().max().item<double>();
    INFO("layer ", k, ": worst ", worst, " of ", scale);
    CHECK(worst <= kRelativeError * scale);
    ++compared;
  }
  CHECK(compared >= 3);
}

TEST_CASE("a tiny random BERT gives transformers' states at every layer") {
  const Tiny tiny;
  check_layers(TextEncoder(tiny.config, tiny.weights), tiny.reference);
}

TEST_CASE("the shipped weights give transformers' states at every layer") {
  const char* folder = std::getenv("PANGU_WEIGHTS");
  const std::string path =
      (folder ? std::string(folder) : std::string(kSourceDir) + "/models/mini") + "/text_encoder";
  if (!std::filesystem::exists(path)) {
    MESSAGE("SKIPPED: no weights at " << path << "; PANGU_WEIGHTS names another folder");
    return;
  }
  const auto encoder = TextEncoder::from_folder(path);
  check_layers(encoder, tensors::load_safetensors(kData + "text_encoder_e5.safetensors"));
  CHECK(encoder.config().prompt_prefix == "passage: ");
}

TEST_CASE("padding changes nothing for the tokens that count") {
  const Tiny tiny;
  const TextEncoder encoder(tiny.config, tiny.weights);
  const at::Tensor ids = tiny.reference.at("ids").narrow(0, 1, 1);
  const at::Tensor mask = tiny.reference.at("mask").narrow(0, 1, 1);
  const int64_t length = mask.sum().item<int64_t>();
  REQUIRE(length < ids.size(1));
  const at::Tensor padded = encoder.encode(ids, mask).narrow(1, 0, length);
  const at::Tensor alone = encoder.encode(ids.narrow(1, 0, length), mask.narrow(1, 0, length));
  CHECK(at::allclose(padded, alone, 1e-5, 1e-5));
}

TEST_CASE("a packed word table gives what the same table dequantised gives") {
  Tiny tiny;
  const std::string words = "embeddings.word_embeddings.weight";
  const at::Tensor codes = at::randint(0, 256, {tiny.config.vocab_size, 16}, at::kByte);
  const at::Tensor scales = (at::rand({tiny.config.vocab_size, 1}) * 0.1).to(at::kHalf);
  TensorMap packed = tiny.weights;
  packed.erase(words);
  packed[words + "_packed"] = codes;
  packed[words + "_scale"] = scales;
  tiny.weights[words] = codes.to(at::kFloat);  // replaced below, of the right shape
  at::Tensor low = codes.bitwise_and(15).to(at::kFloat) - 8;
  at::Tensor high = codes.to(at::kInt).bitwise_right_shift(4).to(at::kFloat) - 8;
  tiny.weights[words] = at::cat({low, high}, 1) * scales.to(at::kFloat);
  const at::Tensor ids = tiny.reference.at("ids"), mask = tiny.reference.at("mask");
  CHECK(at::equal(TextEncoder(tiny.config, packed).encode(ids, mask),
                  TextEncoder(tiny.config, tiny.weights).encode(ids, mask)));
}

TEST_CASE("states are centred and scaled where the file says so, hidden states never") {
  const Tiny tiny;
  TensorMap weights = tiny.weights;
  const at::Tensor mean = at::randn({tiny.config.hidden_size});
  weights["context_norm.mean"] = mean;
  weights["context_norm.scale"] = at::full({1}, 4.0);
  const at::Tensor ids = at::tensor({0, 5, 6, 2}, at::kLong).view({1, 4});
  const at::Tensor mask = at::ones({1, 4}, at::kLong);
  const TextEncoder plain(tiny.config, tiny.weights), centred(tiny.config, weights);
  const at::Tensor want = (plain.encode(ids, mask) - mean) * 4.0;
  CHECK(at::allclose(centred.encode(ids, mask), want, 1e-5, 1e-5));
  CHECK(at::equal(centred.hidden_states(ids, mask).back(), plain.encode(ids, mask)));
}

TEST_CASE("the pooled vector is the mean over the mask, zero where nothing counts") {
  const at::Tensor states = at::arange(12, at::kFloat).view({2, 3, 2});
  const at::Tensor mask = at::tensor({1, 0, 1, 0, 0, 0}).view({2, 3});
  const at::Tensor expected = at::tensor({2.0F, 3.0F, 0.0F, 0.0F}).view({2, 2});
  CHECK(at::equal(mean_pooled(states, mask), expected));
}

TEST_CASE("foreign configurations, missing tensors and foreign ids are refused by name") {
  const auto refuses = [](const char* key, const nlohmann::json& value) {
    auto json = tiny_json();
    json[key] = value;
    try {
      TextEncoderConfig::from_json(json);
    } catch (const Error& error) {
      return std::string(error.what()).find(key) != std::string::npos;
    }
    return false;
  };
  CHECK(refuses("model_type", "clip"));
  CHECK(refuses("hidden_act", "relu"));
  CHECK(refuses("hidden_size", "wide"));
  CHECK(refuses("num_attention_heads", 5));
  CHECK(refuses("vocab_size", 0));
  CHECK(refuses("quantization_config", {{"quant_method", "awq"}}));
  CHECK_THROWS_AS(TextEncoderConfig::from_json(nlohmann::json::array()), Error);

  Tiny tiny;
  const TextEncoder encoder(tiny.config, tiny.weights);
  const at::Tensor one = at::ones({1, 2}, at::kLong);
  CHECK_THROWS_AS(encoder.encode(one * 48, one), Error);
  CHECK_THROWS_AS(encoder.encode(one * -1, one), Error);
  CHECK_THROWS_AS(encoder.encode(at::ones({1, 13}, at::kLong), at::ones({1, 13})), Error);
  tiny.weights.erase("encoder.layer.1.output.dense.weight");
  CHECK_THROWS_AS(TextEncoder(tiny.config, tiny.weights), Error);
}

}  // namespace
}  // namespace pangu::nn
