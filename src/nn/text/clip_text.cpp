// CLIP's text transformer: configuration, embeddings and pooling.
#include "nn/text/clip_text.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_reader.h"
#include "nn/shape_reader.h"

namespace pangu::nn {
namespace {

constexpr char kTextConfig[] = "CLIP text config";
constexpr char kProjecting[] = "CLIPTextModelWithProjection";
constexpr int64_t kLegacyEos = 2;  // transformers before 4.31 wrote it into every file
constexpr int64_t kHeadWidth = 64;
constexpr char kRoot[] = "text_model.";

}  // namespace

ClipTextConfig ClipTextConfig::from_json(const nlohmann::json& json) {
  ClipTextConfig c;
  JsonReader reader(kTextConfig, json);
  reader.only("model_type", {"clip_text_model"});
  reader.read("vocab_size", c.vocab_size);
  reader.read("hidden_size", c.hidden_size);
  reader.read("intermediate_size", c.intermediate_size);
  reader.read("num_hidden_layers", c.num_hidden_layers);
  reader.read("num_attention_heads", c.num_attention_heads);
  reader.read("max_position_embeddings", c.max_position_embeddings);
  reader.read("layer_norm_eps", c.layer_norm_eps);
  reader.read("eos_token_id", c.eos_token_id);
  reader.read("projection_dim", c.projection_dim);
  std::string act = name_of(c.hidden_act);
  reader.read("hidden_act", act);
  c.hidden_act = clip_activation_of(act);
  std::vector<std::string> architectures;
  reader.read("architectures", architectures);
  for (const std::string& name : architectures) c.has_projection |= name == kProjecting;
  c.validate();
  return c;
}

nlohmann::json ClipTextConfig::to_json() const {
  return {{"architectures", {has_projection ? kProjecting : "CLIPTextModel"}},
          {"model_type", "clip_text_model"},
          {"vocab_size", vocab_size},
          {"hidden_size", hidden_size},
          {"intermediate_size", intermediate_size},
          {"num_hidden_layers", num_hidden_layers},
          {"num_attention_heads", num_attention_heads},
          {"max_position_embeddings", max_position_embeddings},
          {"hidden_act", name_of(hidden_act)},
          {"layer_norm_eps", layer_norm_eps},
          {"eos_token_id", eos_token_id},
          {"projection_dim", projection_dim}};
}

void ClipTextConfig::validate() const {
  const auto in_range = [](const char* key, int64_t value, int64_t high) {
    if (value >= 1 && value <= high) return;
    throw bad_input(std::string(kTextConfig) + ", key '" + key + "'", "1.." + std::to_string(high),
                    std::to_string(value));
  };
  in_range("vocab_size", vocab_size, 1 << 24);
  in_range("hidden_size", hidden_size, 1 << 16);
  in_range("intermediate_size", intermediate_size, 1 << 18);
  in_range("num_hidden_layers", num_hidden_layers, 1 << 10);
  in_range("num_attention_heads", num_attention_heads, 1 << 12);
  in_range("max_position_embeddings", max_position_embeddings, 1 << 20);
  in_range("projection_dim", projection_dim, 1 << 16);
  if (hidden_size % num_attention_heads != 0) {
    throw bad_input(std::string(kTextConfig) + ", key 'num_attention_heads'",
                    "a divisor of hidden_size " + std::to_string(hidden_size),
                    std::to_string(num_attention_heads));
  }
  if (!(layer_norm_eps > 0)) {
    throw bad_input(std::string(kTextConfig) + ", key 'layer_norm_eps'", "a positive number",
                    std::to_string(layer_norm_eps));
  }
}

ClipTextConfig clip_text_config_from_shapes(const TensorShapes& shapes, Activation hidden_act) {
  const ShapeReader reader("CLIP text model", shapes);
  const std::string root = kRoot;
  ClipTextConfig c;
  c.hidden_act = hidden_act;
  c.eos_token_id = kLegacyEos;
  c.vocab_size = reader.size(root + "embeddings.token_embedding.weight", 2, 0);
  c.hidden_size = reader.size(root + "embeddings.token_embedding.weight", 2, 1);
  c.max_position_embeddings = reader.size(root + "embeddings.position_embedding.weight", 2, 0);
  c.num_hidden_layers = reader.count(root + "encoder.layers.");
  c.intermediate_size = reader.size(root + "encoder.layers.0.mlp.fc1.weight", 2, 0);
  if (c.hidden_size % kHeadWidth != 0) {
    throw bad_input("width of the CLIP text model", "a multiple of 64, the width of its heads",
                    std::to_string(c.hidden_size));
  }
  c.num_attention_heads = c.hidden_size / kHeadWidth;
  c.has_projection = reader.has("text_projection.weight");
  c.projection_dim = c.has_projection ? reader.size("text_projection.weight", 2, 0) : c.hidden_size;
  c.validate();
  return c;
}

std::string clip_text_tensor_name(const std::string& name) {
  if (name.ends_with("position_ids") || name == "logit_scale") return "";
  if (name.starts_with("embeddings.") || name.starts_with("encoder.") ||
      name.starts_with("final_layer_norm.")) {
    return kRoot + name;
  }
  return name;
}

ClipTextModel::ClipTextModel(const ClipTextConfig& config) : config_(config) {
  config_.validate();
  const ClipTextConfig& c = config_;
  auto embeddings = std::make_shared<torch::nn::Module>("CLIPTextEmbeddings");
  tokens_ = embeddings->register_module("token_embedding",
                                        torch::nn::Embedding(c.vocab_size, c.hidden_size));
  positions_ = embeddings->register_module(
      "position_embedding", torch::nn::Embedding(c.max_position_embeddings, c.hidden_size));
  auto text_model = std::make_shared<torch::nn::Module>("CLIPTextTransformer");
  text_model->register_module("embeddings", embeddings);
  encoder_ = text_model->register_module(
      "encoder", ClipEncoder(ClipLayerShape{c.hidden_size, c.intermediate_size,
                                            c.num_attention_heads, c.layer_norm_eps, c.hidden_act},
                             c.num_hidden_layers));
  final_norm_ = text_model->register_module(
      "final_layer_norm",
      torch::nn::LayerNorm(torch::nn::LayerNormOptions({c.hidden_size}).eps(c.layer_norm_eps)));
  register_module("text_model", text_model);
  if (c.has_projection) {
    projection_ = register_module("text_projection",
                                  Linear(c.hidden_size, c.projection_dim, /*has_bias=*/false));
  }
}

at::Tensor ClipTextModel::embed(const at::Tensor& ids, const at::Tensor& added) {
  const int64_t rows = config_.vocab_size, width = config_.hidden_size;
  int64_t last = rows - 1;
  if (added.defined()) {
    if (added.dim() != 2 || added.size(1) != width) {
      throw bad_input("added token embeddings", "[tokens," + std::to_string(width) + "]",
                      c10::str(added.sizes()), "was the embedding made for another text encoder?");
    }
    last += added.size(0);
  }
  const auto low = ids.min().item<int64_t>(), high = ids.max().item<int64_t>();
  if (low < 0 || high > last) {
    throw bad_input("token id", "0.." + std::to_string(last), std::to_string(low < 0 ? low : high),
                    "does the tokenizer belong to this text encoder?");
  }
  const at::Tensor& table = tokens_->weight;
  const at::Tensor here = ids.to(table.device());
  at::Tensor states = at::embedding(table, here.clamp_max(rows - 1));
  if (high >= rows) {
    const at::Tensor own = at::embedding(added.to(table.options()), (here - rows).clamp_min(0));
    states = at::where((here >= rows).unsqueeze(-1), own, states);
  }
  return states + positions_->weight.narrow(0, 0, ids.size(1));
}

at::Tensor ClipTextModel::pool_positions(const at::Tensor& ids,
                                         const ClipTextRequest& request) const {
  if (!request.pool_at.defined()) {
    const int64_t eos = config_.eos_token_id;
    return eos == kLegacyEos ? ids.argmax(-1) : ids.eq(eos).to(at::kInt).argmax(-1);
  }
  const at::Tensor& at = request.pool_at;
  const bool fits = at.dim() == 1 && at.size(0) == ids.size(0) && at.scalar_type() == at::kLong &&
                    at.min().item<int64_t>() >= 0 && at.max().item<int64_t>() < ids.size(1);
  if (!fits) {
    throw bad_input("positions to pool at", "one position a prompt, below the prompt's length",
                    c10::str(at.sizes()));
  }
  return at;
}

ClipTextOutput ClipTextModel::forward(const at::Tensor& ids, const ClipTextRequest& request) {
  if (!ids.defined() || ids.dim() != 2 || ids.scalar_type() != at::kLong || ids.numel() == 0) {
    throw bad_input("token ids", "[B,L] of int64, at least one",
                    ids.defined() ? c10::str(ids.sizes()) : "nothing");
  }
  if (ids.size(1) > config_.max_position_embeddings) {
    throw bad_input("prompt",
                    "at most " + std::to_string(config_.max_position_embeddings) + " tokens",
                    std::to_string(ids.size(1)));
  }
  const Scope text_model = Scope(&request.trace).in("text_model");
  ClipTextOutput out;
  at::Tensor x = text_model.in("embeddings").out(embed(ids, request.added_embeddings));
  x = encoder_->forward(x, /*causal=*/true, request.hidden_states ? &out.hidden_states : nullptr,
                        text_model.in("encoder"));
  out.last_hidden = text_model.in("final_layer_norm").out(final_norm_(x));
  const at::Tensor at = pool_positions(ids, request).to(x.device());
  const at::Tensor index = at.view({-1, 1, 1}).expand({-1, 1, config_.hidden_size});
  out.pooled = out.last_hidden.gather(1, index).squeeze(1);
  if (projection_) out.text_embeds = projection_(out.pooled);
  return out;
}

at::Tensor ClipTextModel::final_norm(const at::Tensor& states) {
  if (!states.defined() || states.dim() < 1 || states.size(-1) != config_.hidden_size) {
    throw bad_input("states", "[...," + std::to_string(config_.hidden_size) + "]",
                    states.defined() ? c10::str(states.sizes()) : "nothing");
  }
  return final_norm_(states);
}

}  // namespace pangu::nn
