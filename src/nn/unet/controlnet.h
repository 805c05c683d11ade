// ControlNet (Zhang et al. 2023): the downward half of a UNet that looks at a picture as well, and
// gives residuals for UNetExtras::down_residuals and mid_residual. Configuration keys, tensor names
// and arithmetic are those of diffusers' ControlNetModel. It does not prepare pictures (edges,
// poses). Legend: B batch, H W latent pixels, L context tokens, D context width.
#pragma once
#include <torch/nn/module.h>

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "nn/unet/unet_blocks.h"
#include "nn/unet/unet_config.h"
#include "nn/unet/unet_embeddings.h"
#include "nn/weights.h"

namespace pangu::nn {

struct ControlNetConfig {
  UNetConfig unet;  // of the downward half; fields of the upward half have no effect
  int64_t conditioning_channels = 3;
  std::vector<int64_t> conditioning_embedding_out_channels = {16, 32, 96, 256};
  bool bgr = false;  // controlnet_conditioning_channel_order "bgr"
  // residuals are averaged over pixels (ControlNets of "shuffle")
  bool global_pool_conditions = false;

  bool operator==(const ControlNetConfig&) const = default;

  // Throws kBadInput naming the key.
  static ControlNetConfig from_json(const nlohmann::json& json);
  nlohmann::json to_json() const;
  void validate() const;
  int64_t downscale() const;  // pixels of the conditioning picture a latent pixel: 8
};

// Reads the configuration off the tensors' shapes, assuming what unet_config_from_shapes assumes.
// bgr and global_pool_conditions cannot be read off shapes and stay false.
ControlNetConfig controlnet_config_from_shapes(const TensorShapes& shapes);

struct ControlResiduals {
  std::vector<at::Tensor> down;  // one for every skip state, in depth order
  at::Tensor mid;                // undefined for the shallow part alone
};

// Adds `more` to `residuals`, for several ControlNets at once. An empty `residuals` becomes `more`.
void add_residuals(ControlResiduals& residuals, const ControlResiduals& more);

class ControlNetModel : public torch::nn::Module {
 public:
  // Makes fresh weights by torch's defaults. Throws kBadInput for a bad configuration.
  explicit ControlNetModel(const ControlNetConfig& config);

  struct Options {
    double scale = 1.0;
    // For guidance without a prompt: the weight of residuals falls from 1 at the middle to 0.1 at
    // the finest level in equal ratios. It has no effect with global_pool_conditions.
    bool guess_mode = false;
    // DeepFeatures::depth of a UNet that uses its deep features again: only the residuals of its
    // shallow part are computed. 0: all.
    int64_t depth = 0;
  };

  // The other arguments are as in UNet2DConditionModel::forward. picture: [B or
  // 1,conditioning_channels,H*f,W*f] in [0,1], RGB, f = downscale(). Residuals in extras are
  // ignored. Returns residuals in the parameters' type. Throws kBadInput when a shape does not fit.
  ControlResiduals forward(const at::Tensor& sample, const at::Tensor& t_index,
                           const at::Tensor& context, const at::Tensor& picture,
                           const UNetExtras& extras, const Options& options);
  ControlResiduals forward(const at::Tensor& sample, const at::Tensor& t_index,
                           const at::Tensor& context, const at::Tensor& picture) {
    return forward(sample, t_index, context, picture, {}, {});
  }

  const ControlNetConfig& config() const { return config_; }

 private:
  at::Tensor embed_picture(const at::Tensor& picture);

  ControlNetConfig config_;
  Conv2d conv_in_{nullptr};
  UNetEmbeddings embeddings_;
  Conv2d picture_in_{nullptr}, picture_out_{nullptr};
  std::vector<Conv2d> picture_blocks_;
  std::vector<DownBlock> down_blocks_;
  MidBlock mid_block_{nullptr};
  std::vector<Conv2d> residual_convs_;
  Conv2d mid_conv_{nullptr};
};

}  // namespace pangu::nn
