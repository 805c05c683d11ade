// The time embedding of a UNet or ControlNet and the vectors added to it (class, pooled text,
// sizes), and the checks of a forward pass's inputs. Tensor names and arithmetic are those of
// diffusers' UNet2DConditionModel. Legend: B batch, L context tokens, D context width, T time width
// (4 C0).
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/embedding.h>

#include <optional>
#include <vector>

#include "nn/unet/deep_features.h"
#include "nn/unet/unet_attention.h"
#include "nn/unet/unet_config.h"
#include "nn/unet/unet_scope.h"

namespace pangu::nn {

// Optional inputs of one forward pass that are no conditions.
struct UNetStepExtras {
  // from a ControlNet: one for every skip state that is computed, in depth order
  std::vector<at::Tensor> down_residuals;
  at::Tensor mid_residual;  // from a ControlNet: added after the middle block
  // The deep part's output, stored or used again; null: the network is computed as one whole. It
  // must outlive the forward pass. ControlNets ignore it.
  DeepFeatures* deep = nullptr;
  TraceFn trace;
  // Whether residual and transformer blocks keep nothing for the gradient but their inputs
  // (nn/recompute.h). A trace then sees nothing of what they compute again.
  bool recomputes = false;
};

// Further conditions than time and context; an undefined tensor is "not given". Floating tensors
// are converted to the parameters' type; all must be on the parameters' device.
struct UNetExtras : UNetStepExtras {
  at::Tensor context_mask;  // [B,L] bool, true where a token counts
  at::Tensor text_embeds;   // [B,P] pooled text, for addition_embed_type "text_time"
  // [B,K], each number becomes a sinusoid; P + K * addition_time_embed_dim is the projection width.
  at::Tensor time_ids;
  // [B] indices or times, or [B,projection width]; class_embed_type decides.
  at::Tensor class_labels;
  at::Tensor guidance;    // [B], the scale that a network with time_cond_proj_dim imitates
  at::Tensor time_shift;  // [B,T] added to the time embedding as it is
};

// What a network computes from its conditions alone, independent of the time: once for a picture
// instead of once for every step. It is valid for all networks of equal weights.
struct PreparedConditions {
  at::Tensor context;                   // [B,L,D]
  at::Tensor context_bias;              // as in UNetConditions
  std::vector<KeysValues> keys_values;  // as in UNetConditions
  // These are added to the time embedding, [B,T]; undefined where the network has none.
  at::Tensor class_embedding, added_embedding, time_shift;
  // Of the guidance scale, [B,time_cond_proj_dim]; undefined likewise.
  at::Tensor guidance_features;
};

// Returns sine and cosine features of t in f32, whatever t's type (Vaswani et al. 2017, period
// 10000). t: [N] -> [N,dim]; cosines come first when flip_sin_to_cos.
at::Tensor timestep_embedding(const at::Tensor& t, int64_t dim, bool flip_sin_to_cos,
                              int64_t freq_shift);

// The text as one vector, for class_embed_type "projection": the mean of the token states where the
// mask is true (without a mask, of all). context: [B,L,D], mask: [B,L] bool -> [B,D]
at::Tensor mean_context(const at::Tensor& context, const at::Tensor& mask);

// linear_2(silu(linear_1(x + cond_proj(condition)))), the sum where it has a condition.
class TimestepEmbeddingImpl : public torch::nn::Module {
 public:
  TimestepEmbeddingImpl(int64_t in, int64_t out, std::optional<int64_t> condition = {});
  // x: [B,in], condition: [B,C] or undefined -> [B,out]
  at::Tensor forward(const at::Tensor& x, const at::Tensor& condition = {});

 private:
  Linear cond_proj_{nullptr}, linear_1_{nullptr}, linear_2_{nullptr};
};
TORCH_MODULE(TimestepEmbedding);

// All embeddings of a network together. It is no module: its parts are registered in the network
// that owns them.
class UNetEmbeddings {
 public:
  // Registers time_embedding and, as configured, class_embedding and add_embedding.
  void build(torch::nn::Module& owner, const UNetConfig& config);

  // These throw kBadInput when a shape does not fit the configuration or a condition is missing.
  void check_sample(const at::Tensor& sample, const at::Tensor& t_index) const;
  void check_conditions(const at::Tensor& context, const UNetExtras& extras, int64_t batch) const;

  // Prepares everything but the keys and values, in type `dtype`. REQUIRES: check_conditions
  // passed.
  PreparedConditions prepare(const at::Tensor& context, const UNetExtras& extras,
                             at::ScalarType dtype);

  // Returns what the blocks of one forward pass share, in type `dtype`; batch: B. REQUIRES:
  // check_sample passed.
  UNetConditions forward(const at::Tensor& t_index, int64_t batch,
                         const PreparedConditions& prepared, const Scope& root,
                         at::ScalarType dtype);

 private:
  bool has_class() const;
  at::Tensor embed_class(const at::Tensor& labels, at::ScalarType dtype);
  at::Tensor embed_addition(const UNetExtras& extras, at::ScalarType dtype);

  UNetConfig config_;
  TimestepEmbedding time_embedding_{nullptr}, add_embedding_{nullptr}, class_mlp_{nullptr};
  Linear class_linear_{nullptr};
  torch::nn::Embedding class_table_{nullptr};
};

}  // namespace pangu::nn
