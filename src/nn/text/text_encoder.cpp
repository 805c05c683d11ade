// Loads and runs the text encoder. Legend: L tokens, H heads, C hidden size, D = C/H.
#include "nn/text/text_encoder.h"

#include <torch/types.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_reader.h"
#include "io/json_file.h"
#include "nn/attention.h"
#include "nn/frozen_weights.h"
#include "nn/linear.h"
#include "tensors/safetensors.h"

namespace pangu::nn {

TextEncoderConfig TextEncoderConfig::from_json(const nlohmann::json& source) {
  JsonReader reader("text_encoder/config.json", source);
  TextEncoderConfig config;
  reader.only("model_type", {"bert"});
  reader.only("hidden_act", {"gelu"});
  reader.only("position_embedding_type", {"absolute"});
  reader.read("vocab_size", config.vocab_size);
  reader.read("hidden_size", config.hidden_size);
  reader.read("num_hidden_layers", config.num_hidden_layers);
  reader.read("num_attention_heads", config.num_attention_heads);
  reader.read("intermediate_size", config.intermediate_size);
  reader.read("max_position_embeddings", config.max_position_embeddings);
  reader.read("type_vocab_size", config.type_vocab_size);
  reader.read("pad_token_id", config.pad_token_id);
  reader.read("layer_norm_eps", config.layer_norm_eps);
  reader.read("prompt_prefix", config.prompt_prefix);
  if (reader.has("quantization_config")) {
    JsonReader packing("text_encoder/config.json, quantization_config",
                       reader.need<nlohmann::json>("quantization_config"));
    packing.only("quant_method", {"pangu_q4_0"});
    packing.only("group_size", {kQ4Group});
    packing.need<std::string>("quant_method");
    packing.need<int>("group_size");
  }
  config.validate();
  return config;
}

void TextEncoderConfig::validate() const {
  const auto positive = [](const char* key, int value) {
    if (value > 0) return;
    throw bad_input(std::string("text encoder config, key '") + key + "'", "a positive number",
                    std::to_string(value));
  };
  positive("vocab_size", vocab_size);
  positive("hidden_size", hidden_size);
  positive("num_hidden_layers", num_hidden_layers);
  positive("num_attention_heads", num_attention_heads);
  positive("intermediate_size", intermediate_size);
  positive("max_position_embeddings", max_position_embeddings);
  positive("type_vocab_size", type_vocab_size);
  if (hidden_size % num_attention_heads != 0) {
    throw bad_input("text encoder config, key 'num_attention_heads'",
                    "a divisor of hidden_size " + std::to_string(hidden_size),
                    std::to_string(num_attention_heads));
  }
}

TextEncoder::TextEncoder(const TextEncoderConfig& config, const TensorMap& tensors)
    : config_(config) {
  config_.validate();
  const int64_t c = config.hidden_size, inner = config.intermediate_size, v = config.vocab_size;
  const FrozenWeights weights(tensors);
  const std::string words = "embeddings.word_embeddings.weight";
  const at::Tensor codes = weights.find(words + "_packed"), scales = weights.find(words + "_scale");
  const bool packed = codes.defined() && scales.defined() && c % kQ4Group == 0 &&
                      codes.sizes() == at::IntArrayRef({v, c / 2}) &&
                      scales.sizes() == at::IntArrayRef({v, c / kQ4Group}) &&
                      codes.scalar_type() == at::kByte && scales.scalar_type() == at::kHalf;
  if (packed) {
    word_codes_ = codes;
    word_scales_ = scales;
  } else {
    words_ = weights.get(words, {v, c});  // its error also says what is wrong with a packed table
  }
  const at::Tensor types =
      weights.get("embeddings.token_type_embeddings.weight", {config.type_vocab_size, c});
  positions_ =
      weights.get("embeddings.position_embeddings.weight", {config.max_position_embeddings, c}) +
      types[0];
  norm_weight_ = weights.get("embeddings.LayerNorm.weight", {c});
  norm_bias_ = weights.get("embeddings.LayerNorm.bias", {c});
  if (weights.find("context_norm.mean").defined()) {
    context_mean_ = weights.get("context_norm.mean", {c});
    context_scale_ = weights.get("context_norm.scale", {1}).item<double>();
  }
  for (int index = 0; index < config.num_hidden_layers; ++index) {
    const std::string at_layer = "encoder.layer." + std::to_string(index) + ".";
    const auto weight = [&](const std::string& name, int64_t out, int64_t in) {
      return weights.get(at_layer + name + ".weight", {out, in});
    };
    const auto bias = [&](const std::string& name, int64_t out) {
      return weights.get(at_layer + name + ".bias", {out});
    };
    const auto gain = [&](const std::string& name) {
      return weights.get(at_layer + name + ".weight", {c});
    };
    const std::string self = "attention.self.";
    Layer layer;
    layer.qkv_weight = at::cat(
        {weight(self + "query", c, c), weight(self + "key", c, c), weight(self + "value", c, c)});
    layer.qkv_bias =
        at::cat({bias(self + "query", c), bias(self + "key", c), bias(self + "value", c)});
    layer.attention_weight = weight("attention.output.dense", c, c);
    layer.attention_bias = bias("attention.output.dense", c);
    layer.attention_norm_weight = gain("attention.output.LayerNorm");
    layer.attention_norm_bias = bias("attention.output.LayerNorm", c);
    layer.inner_weight = weight("intermediate.dense", inner, c);
    layer.inner_bias = bias("intermediate.dense", inner);
    layer.outer_weight = weight("output.dense", c, inner);
    layer.outer_bias = bias("output.dense", c);
    layer.norm_weight = gain("output.LayerNorm");
    layer.norm_bias = bias("output.LayerNorm", c);
    layers_.push_back(std::move(layer));
  }
}

TextEncoder TextEncoder::from_folder(const std::string& folder) {
  const nlohmann::json source = io::read_json_file(folder + "/config.json");
  try {
    return {TextEncoderConfig::from_json(source),
            tensors::load_safetensors(folder + "/model.safetensors", /*copy=*/false)};
  } catch (const Error& problem) {
    throw while_doing("loading the text encoder in '" + folder + "'", problem);
  }
}

void TextEncoder::to(at::Device device) {
  for (at::Tensor* tensor : {&words_, &positions_, &norm_weight_, &norm_bias_, &context_mean_}) {
    if (tensor->defined()) *tensor = tensor->to(device);
  }
  for (Layer& layer : layers_) {
    for (at::Tensor* tensor :
         {&layer.qkv_weight, &layer.qkv_bias, &layer.attention_weight, &layer.attention_bias,
          &layer.attention_norm_weight, &layer.attention_norm_bias, &layer.inner_weight,
          &layer.inner_bias, &layer.outer_weight, &layer.outer_bias, &layer.norm_weight,
          &layer.norm_bias}) {
      *tensor = tensor->to(device);
    }
  }
}

at::Tensor TextEncoder::embed(const at::Tensor& ids) const {
  const int64_t batch = ids.size(0), length = ids.size(1), c = config_.hidden_size;
  at::Tensor rows;
  if (words_.defined()) {
    rows = at::index_select(words_, 0, ids.reshape(-1).to(words_.device()));
  } else {
    const at::Tensor flat = ids.reshape(-1).to(at::kCPU);
    rows = dequantise_q4(at::index_select(word_codes_, 0, flat),
                         at::index_select(word_scales_, 0, flat))
               .to(positions_.device());
  }
  const at::Tensor sum = rows.view({batch, length, c}) + positions_.narrow(0, 0, length);
  return at::layer_norm(sum, {c}, norm_weight_, norm_bias_, config_.layer_norm_eps);
}

// x: [B,L,C]; bias: [B,1,1,L], 0 where a token counts, the lowest float elsewhere.
at::Tensor TextEncoder::run_layer(const Layer& layer, const at::Tensor& x,
                                  const at::Tensor& bias) const {
  const int64_t c = config_.hidden_size;
  const double eps = config_.layer_norm_eps;
  const auto qkv = linear(x, layer.qkv_weight, layer.qkv_bias).chunk(3, -1);
  AttentionOptions options;
  options.heads = config_.num_attention_heads;
  options.bias = bias;
  const at::Tensor attended = attention(qkv[0], qkv[1], qkv[2], options);
  const at::Tensor mixed = at::layer_norm(
      linear(attended, layer.attention_weight, layer.attention_bias, {}, {.residual = x}), {c},
      layer.attention_norm_weight, layer.attention_norm_bias, eps);
  const at::Tensor inner =
      linear(mixed, layer.inner_weight, layer.inner_bias, {}, {.activation = Activation::kGelu});
  return at::layer_norm(
      linear(inner, layer.outer_weight, layer.outer_bias, {}, {.residual = mixed}), {c},
      layer.norm_weight, layer.norm_bias, eps);
}

template <typename Visit>
void TextEncoder::forward(const at::Tensor& ids, const at::Tensor& mask, Visit visit) const {
  if (ids.dim() != 2 || ids.scalar_type() != at::kLong || mask.sizes() != ids.sizes() ||
      ids.numel() == 0) {
    throw Error(ErrorCode::kInternal, "text encoder: ids and mask must be [B,L], ids int64");
  }
  if (ids.size(1) > config_.max_position_embeddings) {
    throw bad_input("prompt",
                    "at most " + std::to_string(config_.max_position_embeddings) + " tokens",
                    std::to_string(ids.size(1)));
  }
  const auto lowest = ids.min().item<int64_t>(), highest = ids.max().item<int64_t>();
  if (lowest < 0 || highest >= config_.vocab_size) {
    throw bad_input("token id", "0.." + std::to_string(config_.vocab_size - 1),
                    std::to_string(lowest < 0 ? lowest : highest),
                    "does the tokenizer belong to this text encoder?");
  }
  const at::NoGradGuard frozen;
  at::Tensor x = embed(ids);
  const at::Tensor absent = mask.to(x.device()).eq(0);
  const at::Tensor bias = at::zeros(absent.sizes(), x.options())
                              .masked_fill_(absent, std::numeric_limits<float>::lowest())
                              .view({ids.size(0), 1, 1, ids.size(1)});
  visit(x);
  for (const Layer& layer : layers_) {
    x = run_layer(layer, x, bias);
    visit(x);
  }
}

at::Tensor TextEncoder::encode(const at::Tensor& ids, const at::Tensor& mask) const {
  at::Tensor last;
  forward(ids, mask, [&](const at::Tensor& x) { last = x; });
  return context_mean_.defined() ? (last - context_mean_) * context_scale_ : last;
}

std::vector<at::Tensor> TextEncoder::hidden_states(const at::Tensor& ids,
                                                   const at::Tensor& mask) const {
  std::vector<at::Tensor> states;
  forward(ids, mask, [&](const at::Tensor& x) { states.push_back(x); });
  return states;
}

at::Tensor mean_pooled(const at::Tensor& states, const at::Tensor& mask) {
  const at::Tensor counts = mask.to(states.device()).ne(0).to(states.scalar_type()).unsqueeze(-1);
  return (states * counts).sum(1) / counts.sum(1).clamp_min(1.0);
}

}  // namespace pangu::nn
