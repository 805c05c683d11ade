// BERT as a frozen text encoder: token ids -> token states (cross-attention context) and a sentence
// vector. Not a tokenizer (text/unigram.h). Post-LN, GELU, learned absolute positions: Devlin et
// al. 2018; configuration keys and tensor names are those of transformers' BertModel.
#pragma once
#include <ATen/core/Tensor.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "nn/weights.h"

namespace pangu::nn {

struct TextEncoderConfig {
  int vocab_size = 0;
  int hidden_size = 384;
  int num_hidden_layers = 12;
  int num_attention_heads = 12;
  int intermediate_size = 1536;
  int max_position_embeddings = 512;
  int type_vocab_size = 2;
  int pad_token_id = 1;
  double layer_norm_eps = 1e-12;
  // Put before every prompt before tokenising. For multilingual-e5-small "passage: " finds the
  // English name of a Chinese one best, once embeddings are centred (tools/check_e5.py).
  std::string prompt_prefix;

  // Throws Error kBadInput naming the key: not BERT, another activation, another quantisation.
  static TextEncoderConfig from_json(const nlohmann::json& json);
  void validate() const;
};

// Immutable apart from to(); one object may serve many threads.
class TextEncoder {
 public:
  // Takes transformers' BertModel tensors without pooler, plain or 4-bit (nn/frozen_weights.h).
  // The word table stays packed: only rows in use are dequantised.
  TextEncoder(const TextEncoderConfig& config, const TensorMap& tensors);
  // `folder` holds config.json and model.safetensors.
  static TextEncoder from_folder(const std::string& folder);

  // ids: [B,L] int64, L <= max_position_embeddings. mask: [B,L], any dtype, non-zero where a token
  // counts. Returns last hidden state [B,L,hidden] f32. Rows under mask 0 hold numbers of no use.
  // Where the file holds context_norm.mean [hidden] and context_norm.scale [1] (ours, not
  // transformers'), the states come as (state - mean) * scale: e5's lie far from zero mean, which
  // cross-attention learns from slowly. hidden_states() never has this.
  // Error kBadInput for ids outside the vocabulary or too long an L.
  at::Tensor encode(const at::Tensor& ids, const at::Tensor& mask) const;

  // The embedding output and every layer's output, num_hidden_layers + 1 of [B,L,hidden].
  std::vector<at::Tensor> hidden_states(const at::Tensor& ids, const at::Tensor& mask) const;

  void to(at::Device device);
  const TextEncoderConfig& config() const { return config_; }

 private:
  struct Layer {
    at::Tensor qkv_weight, qkv_bias;  // [3*hidden, hidden]: query, key, value
    at::Tensor attention_weight, attention_bias, attention_norm_weight, attention_norm_bias;
    at::Tensor inner_weight, inner_bias, outer_weight, outer_bias, norm_weight, norm_bias;
  };
  template <typename Visit>
  void forward(const at::Tensor& ids, const at::Tensor& mask, Visit visit) const;
  at::Tensor embed(const at::Tensor& ids) const;
  at::Tensor run_layer(const Layer& layer, const at::Tensor& x, const at::Tensor& bias) const;

  TextEncoderConfig config_;
  at::Tensor words_, word_codes_, word_scales_;  // either f32 [V,hidden], or the packed pair
  at::Tensor positions_;                         // [P,hidden], token type 0 already added
  at::Tensor norm_weight_, norm_bias_;
  at::Tensor context_mean_;  // undefined: states as they are
  double context_scale_ = 1.0;
  std::vector<Layer> layers_;
};

// Mean of states [B,L,C] over mask [B,L] != 0: [B,C]. A row without any token gives zeros.
at::Tensor mean_pooled(const at::Tensor& states, const at::Tensor& mask);

}  // namespace pangu::nn
