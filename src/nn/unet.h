// UNet2DConditionModel: the noise predictor of Stable Diffusion, SDXL, PanGu-Draw and our own small
// models, by configuration alone. Same tensor names and arithmetic as diffusers' class of that
// name. Knows no noise level, prompt or file. Legend: B batch, C channels, H W latent pixels, L
// context tokens, D context width, T time width (4 C0).
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <vector>

#include "nn/unet_blocks.h"
#include "nn/unet_config.h"
#include "nn/unet_scope.h"

namespace pangu::nn {

// Conditions beside time and context; an undefined tensor is "not given". Floating tensors are
// converted to the parameters' type; all must live on the parameters' device.
struct UNetExtras {
  at::Tensor context_mask;  // [B,L] bool, true = look at this token
  at::Tensor text_embeds;   // [B,P] pooled text, for addition_embed_type "text_time"
  at::Tensor time_ids;  // [B,K], each number becomes a sinusoid; P + K * addition_time_embed_dim =
                        // projection width
  at::Tensor
      class_labels;       // [B] indices or times, or [B,projection width], as class_embed_type says
  at::Tensor time_shift;  // [B,T] added to the time embedding as it is
  std::vector<at::Tensor> down_residuals;  // ControlNet: one for every skip state, in depth order
  at::Tensor mid_residual;                 // ControlNet: added after the middle block
  TraceFn trace;
};

// sin / cos features of t, in f32 whatever t's type (Vaswani et al. 2017, period 10000).
// t: [N] -> [N,dim]; cosines first when flip_sin_to_cos.
at::Tensor timestep_embedding(const at::Tensor& t, int64_t dim, bool flip_sin_to_cos,
                              int64_t freq_shift);

// linear_2(silu(linear_1 x))
class TimestepEmbeddingImpl : public torch::nn::Module {
 public:
  TimestepEmbeddingImpl(int64_t in, int64_t out);
  at::Tensor forward(const at::Tensor& x);  // [B,in] -> [B,out]

 private:
  torch::nn::Linear linear_1_{nullptr}, linear_2_{nullptr};
};
TORCH_MODULE(TimestepEmbedding);

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

  const UNetConfig& config() const { return config_; }

 private:
  void build_embeddings();
  void build_blocks();
  void check_inputs(const at::Tensor& sample, const at::Tensor& t_index, const at::Tensor& context,
                    const UNetExtras& extras) const;
  at::Tensor embed_time(const at::Tensor& t_index, int64_t batch, const UNetExtras& extras);
  at::Tensor embed_class(const at::Tensor& labels, at::ScalarType dtype);
  at::Tensor embed_addition(const UNetExtras& extras, at::ScalarType dtype);

  UNetConfig config_;
  torch::nn::Conv2d conv_in_{nullptr}, conv_out_{nullptr};
  TimestepEmbedding time_embedding_{nullptr}, add_embedding_{nullptr}, class_mlp_{nullptr};
  torch::nn::Linear class_linear_{nullptr};
  torch::nn::Embedding class_table_{nullptr};
  std::vector<DownBlock> down_blocks_;
  MidBlock mid_block_{nullptr};
  std::vector<UpBlock> up_blocks_;
  torch::nn::GroupNorm norm_out_{nullptr};
};

// Makes a fresh model predict 0 everywhere: a calmer start of training.
void zero_init_output(UNet2DConditionModel& unet);

// Stores the convolution weights channels-last, the layout of the activations.
void weights_to_channels_last(torch::nn::Module& module);

}  // namespace pangu::nn
