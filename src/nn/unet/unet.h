// UNet2DConditionModel: the noise predictor of Stable Diffusion, SDXL, PanGu-Draw and our own small
// models; they differ in configuration alone. Tensor names and arithmetic are those of diffusers'
// class of that name. It knows no noise level, prompt or file. Legend: B batch, C channels, H W
// latent pixels, L context tokens, D context width, T time width (4 C0).
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/normalization.h>

#include <vector>

#include "nn/unet/unet_blocks.h"
#include "nn/unet/unet_config.h"
#include "nn/unet/unet_embeddings.h"
#include "nn/unet/unet_scope.h"

namespace pangu::nn {

// The most memory that the keys and values of a context may take to be kept from step to step.
inline constexpr int64_t kMostPreparedBytes = int64_t{512} << 20;

class UNet2DConditionModel : public torch::nn::Module {
 public:
  // Makes fresh random weights by torch's defaults, from torch's global generator. Throws kBadInput
  // for a bad configuration.
  explicit UNet2DConditionModel(const UNetConfig& config);

  // sample: [B,in,H,W] any H, W >= 1, any layout; t_index: [B] or [1]; context: [B,L,D].
  // Returns [B,out,H,W] channels-last, in the parameters' type. Differentiable in everything.
  // Throws kBadInput when a shape does not fit the configuration or a condition is missing.
  at::Tensor forward(const at::Tensor& sample, const at::Tensor& t_index, const at::Tensor& context,
                     const UNetExtras& extras = {});

  // The same in two halves, for a picture of several steps: prepare once for the conditions, then
  // forward at each step. prepare ignores the members of UNetStepExtras in its extras; forward
  // takes them.
  // Keys and values are kept if they take at most kMostPreparedBytes, and otherwise computed anew
  // at every step. They are 2 B L numbers for each channel of each cross-attention: in f32 and for
  // two rows of 77 tokens, 15 MB in Stable Diffusion 1.5 and 102 MB in SDXL.
  PreparedConditions prepare(const at::Tensor& context, const UNetExtras& extras = {});
  at::Tensor forward(const at::Tensor& sample, const at::Tensor& t_index,
                     const PreparedConditions& prepared, const UNetStepExtras& extras = {});

  const UNetConfig& config() const { return config_; }

  // The class_labels of UNetExtras for this model: the mean of the context (mean_context) for
  // class_embed_type "projection", undefined for other models. mask: [B,L] bool, true where a token
  // counts, or undefined.
  at::Tensor class_labels_of(const at::Tensor& context, const at::Tensor& mask) const;

 private:
  void build_blocks();
  void number_cross_attentions();
  at::Tensor run(const at::Tensor& sample, const at::Tensor& t_index,
                 const PreparedConditions& prepared, const UNetStepExtras& extras);
  at::Tensor run_middle(at::Tensor x, const UNetConditions& conditions,
                        const UNetStepExtras& extras, const Scope& root);
  at::Tensor run_upward(at::Tensor x, const UNetConditions& conditions,
                        std::vector<at::Tensor>& skips, DeepFeatures* deep, const Scope& root);

  UNetConfig config_;
  Conv2d conv_in_{nullptr}, conv_out_{nullptr};
  UNetEmbeddings embeddings_;
  std::vector<DownBlock> down_blocks_;
  MidBlock mid_block_{nullptr};
  std::vector<UpBlock> up_blocks_;
  torch::nn::GroupNorm norm_out_{nullptr};
  std::vector<Attention> cross_attentions_;  // by number
};

// Makes a fresh model predict 0 everywhere, so that training starts more smoothly.
void zero_init_output(UNet2DConditionModel& unet);

// Stores the convolution weights channels-last, the layout of the activations.
void weights_to_channels_last(torch::nn::Module& module);

}  // namespace pangu::nn
