// BERT as a frozen text encoder: token ids -> token states (cross-attention context) and a sentence
// vector. The tokenizer is text/unigram.h. Post-LN, GELU, learned absolute positions: Devlin et al.
// 2018; configuration keys and tensor names are those of transformers' BertModel.
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
  // Put in front of every prompt before it is tokenised. For multilingual-e5-small, "passage: "
  // matches English and Chinese names of one thing best once embeddings are centred
  // (tools/check_e5.py).
  std::string prompt_prefix;

  // Throws kBadInput naming the key if it is no BERT, or has another activation or quantisation.
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
  // counts. Returns the last hidden state [B,L,hidden] f32. Rows where the mask is 0 have no
  // meaning. Where the file holds context_norm.mean [hidden] and context_norm.scale [1] (ours, not
  // transformers'), the states are returned as (state - mean) * scale: the mean of e5's states is
  // far from zero, and cross-attention learns slowly from such states. hidden_states() never does
  // this. Throws kBadInput for ids outside the vocabulary or an L that is too long.
  at::Tensor encode(const at::Tensor& ids, const at::Tensor& mask) const;

  // Returns the output of the embeddings and of every layer, num_hidden_layers + 1 tensors
  // [B,L,hidden].
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
  // The word table: either f32 [V,hidden] in words_, or the packed pair.
  at::Tensor words_, word_codes_, word_scales_;
  at::Tensor positions_;  // [P,hidden], token type 0 already added
  at::Tensor norm_weight_, norm_bias_;
  at::Tensor context_mean_;  // undefined: states stay as they are
  double context_scale_ = 1.0;
  std::vector<Layer> layers_;
};

// Returns [B,C], the mean of states [B,L,C] where mask [B,L] is not 0. A row without any token
// gives zeros.
at::Tensor mean_pooled(const at::Tensor& states, const at::Tensor& mask);

}  // namespace pangu::nn
