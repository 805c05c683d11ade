// UNet2DConditionModel: the noise predictor of Stable Diffusion, SDXL, PanGu-Draw and our own small
// models, by configuration alone. Same tensor names and arithmetic as diffusers' class of that
// name. Knows no noise level, prompt or file. Legend: B batch, C channels, H W latent pixels, L
// context tokens, D context width, T time width (4 C0).
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/normalization.h>

#include <vector>

#include "nn/unet/unet_blocks.h"
#include "nn/unet/unet_config.h"
#include "nn/unet/unet_embeddings.h"
#include "nn/unet/unet_scope.h"

namespace pangu::nn {

// Keys and values of a context that are kept from step to step take at most so much memory.
inline constexpr int64_t kMostPreparedBytes = int64_t{512} << 20;

class UNet2DConditionModel : public torch::nn::Module {
 public:
  // Fresh random weights by torch's defaults, from torch's global generator. Throws Error on a bad
  // config.
  explicit UNet2DConditionModel(const UNetConfig& config);

  // sample: [B,in,H,W] any H, W >= 1, any layout; t_index: [B] or [1]; context: [B,L,D].
  // Returns [B,out,H,W] channels-last, in the parameters' type. Differentiable in everything.
  // Throws Error kBadInput when a shape does not fit the configuration or a condition is missing.
  at::Tensor forward(const at::Tensor& sample, const at::Tensor& t_index, const at::Tensor& context,
                     const UNetExtras& extras = {});

  // The same in two halves, for a picture of several steps: what the conditions come to, then each
  // step. Residuals and trace in prepare's extras are ignored. Keys and values are kept while they
  // take at most kMostPreparedBytes, and are made anew at every step above that; they take
  // 2 B L bytes-a-number for each channel of each cross-attention, as 15 MB for two rows of 77
  // tokens in Stable Diffusion 1.5 in f32, 102 MB in SDXL.
  PreparedConditions prepare(const at::Tensor& context, const UNetExtras& extras = {});
  at::Tensor forward(const at::Tensor& sample, const at::Tensor& t_index,
                     const PreparedConditions& prepared, const UNetStepExtras& extras = {});

  const UNetConfig& config() const { return config_; }

  // What class_embed_type "projection" reads here: the mean of the context (mean_context).
  // Undefined for other models, as UNetExtras wants it.
  at::Tensor class_labels_of(const at::Tensor& context, const at::Tensor& mask) const;

 private:
  void build_blocks();
  void number_cross_attentions();
  at::Tensor run(const at::Tensor& sample, const at::Tensor& t_index,
                 const PreparedConditions& prepared, const UNetStepExtras& extras);

  UNetConfig config_;
  Conv2d conv_in_{nullptr}, conv_out_{nullptr};
  UNetEmbeddings embeddings_;
  std::vector<DownBlock> down_blocks_;
  MidBlock mid_block_{nullptr};
  std::vector<UpBlock> up_blocks_;
  torch::nn::GroupNorm norm_out_{nullptr};
  std::vector<Attention> cross_attentions_;  // by number
};

// Makes a fresh model predict 0 everywhere: a calmer start of training.
void zero_init_output(UNet2DConditionModel& unet);

// Stores the convolution weights channels-last, the layout of the activations.
void weights_to_channels_last(torch::nn::Module& module);

}  // namespace pangu::nn
