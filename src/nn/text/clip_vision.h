// CLIP's image encoder: pictures -> one vector each, which SD image-variations takes in the place
// of a prompt's states. ViT of Dosovitskiy et al. 2021 as Radford et al. 2021 use it.
// Configuration keys and tensor names are those of transformers' CLIPVisionModelWithProjection
// ("pre_layrnorm" is spelt so there). It does not decode files.
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/normalization.h>

#include <nlohmann/json_fwd.hpp>

#include "nn/conv.h"
#include "nn/text/clip_blocks.h"
#include "nn/unet/unet_scope.h"
#include "nn/weights.h"

namespace pangu::nn {

struct ClipVisionConfig {
  int64_t hidden_size = 768;
  int64_t intermediate_size = 3072;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  int64_t num_channels = 3;
  int64_t image_size = 224;
  int64_t patch_size = 32;
  Activation hidden_act = Activation::kQuickGelu;
  double layer_norm_eps = 1e-5;
  int64_t projection_dim = 512;

  bool operator==(const ClipVisionConfig&) const = default;

  // Throws kBadInput naming the key.
  static ClipVisionConfig from_json(const nlohmann::json& json);
  nlohmann::json to_json() const;
  void validate() const;
};

// Reads the configuration off the tensors' shapes. Heads are 64 wide, which is so in every CLIP
// that a diffusion model uses; for the activation see clip_text_config_from_shapes.
ClipVisionConfig clip_vision_config_from_shapes(const TensorShapes& shapes, Activation hidden_act);

struct ClipVisionOutput {
  at::Tensor image_embeds;  // [B,projection_dim], not normalised
  at::Tensor last_hidden;   // [B,1+patches,hidden], class token first, no norm after the last layer
};

class ClipVisionModel : public torch::nn::Module {
 public:
  // Makes fresh weights by torch's defaults. Throws kBadInput for a bad configuration.
  explicit ClipVisionModel(const ClipVisionConfig& config);

  // pixels: [B,channels,image_size,image_size], as clip_pixels makes them. Results are in the
  // weights' type. Throws kBadInput for another shape.
  ClipVisionOutput forward(const at::Tensor& pixels, const TraceFn& trace = {});

  const ClipVisionConfig& config() const { return config_; }

 private:
  ClipVisionConfig config_;
  at::Tensor class_embedding_;
  Conv2d patches_{nullptr};
  torch::nn::Embedding positions_{nullptr};
  torch::nn::LayerNorm pre_norm_{nullptr}, post_norm_{nullptr};
  ClipEncoder encoder_{nullptr};
  Linear projection_{nullptr};
};

// Prepares a picture as transformers' CLIPImageProcessor does: the shorter side becomes `size` by
// an antialiased bicubic filter (a = -0.5) with PIL's fixed-point weights, byte for byte, the
// middle is cut out, and channels are normalised by CLIP's mean and deviation. image: [B,3,H,W] f32
// in [0,1], any H and W. Returns [B,3,size,size] f32.
at::Tensor clip_pixels(const at::Tensor& image, int64_t size = 224);

// The same, but nothing is cut: both sides become `size`, as Chinese CLIP prepares its pictures.
at::Tensor clip_pixels_stretched(const at::Tensor& image, int64_t size);

}  // namespace pangu::nn
