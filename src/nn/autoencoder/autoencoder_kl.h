// AutoencoderKL with diffusers' topology, configuration keys and tensor names: from pixels to
// latents and back. Downscale factor f = 2^(levels-1): [B,3,H,W] in [-1,1] <->
// [B,latent_channels,H/f,W/f]. Source of the topology: Rombach et al. 2022 (LDM) as diffusers lays
// it out. The training loss is not here.
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/watch.h"

namespace pangu::nn {

struct AutoencoderKLConfig {
  int in_channels = 3;
  int out_channels = 3;
  int latent_channels = 4;
  std::vector<int> block_out_channels = {128, 256, 512, 512};
  int layers_per_block = 2;  // encoder resnets a level; the decoder has one more
  int norm_num_groups = 32;
  bool mid_block_add_attention = true;
  bool use_quant_conv = true;
  bool use_post_quant_conv = true;
  double scaling_factor = 0.18215;  // a denoiser gets (z - shift_factor) * scaling_factor
  double shift_factor = 0.0;
  // In place of shift_factor, one number for each latent channel: a denoiser gets (z -
  // latents_mean) / latents_std * scaling_factor. A configuration has both or neither.
  std::vector<double> latents_mean = {}, latents_std = {};

  // Throws kBadInput naming the key that is wrong, stands for another autoencoder, or is not known.
  static AutoencoderKLConfig from_json(const nlohmann::json& json);
  nlohmann::json to_json() const;
  void validate() const;
  int downscale() const { return 1 << (static_cast<int>(block_out_channels.size()) - 1); }
};

class AutoencoderKL : public torch::nn::Module {
 public:
  explicit AutoencoderKL(const AutoencoderKLConfig& config);

  // encode and decode call watch.check() between layers.

  // image: [B,3,H,W] in [-1,1], H and W multiples of downscale(). Returns the posterior's
  // (mean, log-variance clipped to [-30,20]), each [B,latent_channels,H/f,W/f], unscaled.
  std::pair<at::Tensor, at::Tensor> encode(const at::Tensor& image, const Watch& watch = {});

  // latent: [B,latent_channels,h,w], unscaled. Returns [B,3,h*f,w*f], about [-1,1], not clipped.
  at::Tensor decode(const at::Tensor& latent, const Watch& watch = {});

  // Converts the autoencoder's own latents to those that a denoiser gets, and back.
  at::Tensor scale(const at::Tensor& latent) const;
  at::Tensor unscale(const at::Tensor& latent) const;
  // Converts a standard deviation of the autoencoder's latents to one of the denoiser's.
  at::Tensor scale_deviation(const at::Tensor& deviation) const;

  const AutoencoderKLConfig& config() const { return config_; }

 private:
  AutoencoderKLConfig config_;
  std::shared_ptr<torch::nn::Module> encoder_, decoder_, quant_conv_, post_quant_conv_;
};

// Sets the weights for the start of training: every residual branch ends in zero, and the path of
// plain convolutions that remains preserves norms (orthogonal kernels: Saxe et al. 2014), so that
// pictures and gradients pass all levels from the first step.
void init_linear_path(AutoencoderKL& network);

}  // namespace pangu::nn
