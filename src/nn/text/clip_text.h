// CLIP's text transformer: token ids -> states for cross-attention and a pooled vector (tokenizers
// are in the room text). One class serves OpenAI's CLIP-L (SD 1, SDXL's first), OpenCLIP's H (SD 2)
// and bigG (SDXL's second, PanGu-Draw 3), and PanGu-Draw 3's Chinese CLIP. Pre-LN, causal, learned
// positions: Radford et al. 2021. Configuration keys and tensor names are those of transformers'
// CLIPTextModel(WithProjection).
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/normalization.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "nn/text/clip_blocks.h"
#include "nn/unet/unet_scope.h"
#include "nn/weights.h"

namespace pangu::nn {

struct ClipTextConfig {
  int64_t vocab_size = 49408;
  int64_t hidden_size = 512;
  int64_t intermediate_size = 2048;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 8;
  int64_t max_position_embeddings = 77;
  Activation hidden_act = Activation::kQuickGelu;
  double layer_norm_eps = 1e-5;
  // The position at which the pooled state is taken. 2, which old files have whatever their
  // tokenizer is, means the greatest id of the prompt; anything else means the first token with
  // that id.
  int64_t eos_token_id = 49407;
  int64_t projection_dim = 512;
  // No key of the file: whether it has text_projection.weight (CLIPTextModelWithProjection).
  bool has_projection = false;

  bool operator==(const ClipTextConfig&) const = default;

  // `has_projection` is read from "architectures" where the file has that key. Throws kBadInput
  // naming the key.
  static ClipTextConfig from_json(const nlohmann::json& json);
  nlohmann::json to_json() const;
  void validate() const;
};

// Reads the configuration off the tensors' shapes, names as below. Heads are 64 wide, which is so
// in every CLIP that a diffusion model uses; pooling is at the greatest id. The activation leaves
// no trace in shapes: quick GELU in OpenAI's and Chinese CLIP, exact GELU in OpenCLIP's.
// Throws kBadInput when the names are not a CLIP text model's.
ClipTextConfig clip_text_config_from_shapes(const TensorShapes& shapes, Activation hidden_act);

// The name that ClipTextModel has for a tensor of a CLIP text model: it has the "text_model." that
// transformers 5 leaves out. It is empty for tensors that are no weights (position_ids,
// logit_scale).
std::string clip_text_tensor_name(const std::string& name);

struct ClipTextRequest {
  bool hidden_states = false;  // fill ClipTextOutput::hidden_states
  // [E,hidden], the rows of the ids vocab_size .. vocab_size+E-1 (textual inversion), or undefined.
  at::Tensor added_embeddings;
  at::Tensor pool_at;  // [B] int64 positions to pool at, instead of eos_token_id's rule
  TraceFn trace;       // gets "text_model.encoder.layers.3" and so on
};

struct ClipTextOutput {
  at::Tensor last_hidden;  // [B,L,hidden], final layer norm applied
  at::Tensor pooled;       // [B,hidden], a row of last_hidden
  at::Tensor text_embeds;  // [B,projection_dim] = text_projection pooled; undefined without it
  // num_hidden_layers + 1 tensors [B,L,hidden] without the final layer norm: the embeddings, then
  // the output of each layer. The penultimate state is the entry before the last.
  std::vector<at::Tensor> hidden_states;
};

// What the families give to cross-attention:
//   SD 1                last_hidden
//   SD 2                last_hidden of the 23-layer folder; of a file with 24 layers
//                       final_norm(the penultimate state)
//   SDXL, both          the penultimate state as it is; text_embeds of the second encoder is the
//                       pooled vector
//   PanGu-Draw 3        last_hidden of the Chinese encoder and the penultimate state of bigG
//   clip skip n > 1     SD 1: final_norm(hidden_states[num_hidden_layers - n + 1]); SDXL: the same
//                       for n > 2, without the norm. So A1111 and ComfyUI count; diffusers'
//                       clip_skip is n - 1 of SD 1 and n - 2 of SDXL
class ClipTextModel : public torch::nn::Module {
 public:
  // Makes fresh weights by torch's defaults. Throws kBadInput for a bad configuration.
  explicit ClipTextModel(const ClipTextConfig& config);

  // ids: [B,L] int64, 1 <= L <= max_position_embeddings. All results are in the weights' type.
  // Throws kBadInput for ids outside the table or an L that is too long.
  ClipTextOutput forward(const at::Tensor& ids, const ClipTextRequest& request = {});

  at::Tensor final_norm(const at::Tensor& states);  // any [...,hidden]

  const ClipTextConfig& config() const { return config_; }

 private:
  at::Tensor embed(const at::Tensor& ids, const at::Tensor& added);
  at::Tensor pool_positions(const at::Tensor& ids, const ClipTextRequest& request) const;

  ClipTextConfig config_;
  torch::nn::Embedding tokens_{nullptr}, positions_{nullptr};
  ClipEncoder encoder_{nullptr};
  torch::nn::LayerNorm final_norm_{nullptr};
  Linear projection_{nullptr};
};

}  // namespace pangu::nn
