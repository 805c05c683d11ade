// AutoencoderTiny (TAESD, TAESDXL): a distilled autoencoder without norms or attention, some
// hundred times cheaper than AutoencoderKL. The encoder or the decoder may be absent, as in files
// that hold only one of them. Topology, configuration keys and tensor names are diffusers' (the
// original by O. Boer Bohan, github.com/madebyollin/taesd); io/ldm/ldm_names.h renames the
// original's files.
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "nn/weights.h"

namespace pangu::nn {

struct AutoencoderTinyConfig {
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  int64_t latent_channels = 4;
  // The number of residual blocks of each level, finest first in the encoder and coarsest first in
  // the decoder. All blocks are equally wide.
  std::vector<int64_t> num_encoder_blocks = {1, 3, 3, 3};
  std::vector<int64_t> num_decoder_blocks = {3, 3, 3, 1};
  int64_t encoder_width = 64;
  int64_t decoder_width = 64;
  double scaling_factor = 1.0;  // 1: the latents are those that a denoiser gets
  double shift_factor = 0.0;
  // These are no keys of the file: they say which of the two halves the weights have.
  bool has_encoder = true;
  bool has_decoder = true;

  bool operator==(const AutoencoderTinyConfig&) const = default;

  // Throws kBadInput naming the key.
  static AutoencoderTinyConfig from_json(const nlohmann::json& json);
  nlohmann::json to_json() const;
  void validate() const;
  int64_t downscale() const;  // 8 for the released models
};

// Reads the configuration off the tensors' shapes. Throws kBadInput when they are not an
// AutoencoderTiny's.
AutoencoderTinyConfig autoencoder_tiny_config_from_shapes(const TensorShapes& shapes);

class AutoencoderTiny : public torch::nn::Module {
 public:
  // Makes fresh weights by torch's defaults. Throws kBadInput for a bad configuration.
  explicit AutoencoderTiny(const AutoencoderTinyConfig& config);

  // image: [B,in_channels,H,W] in [-1,1]. Returns [B,latent_channels,H/f,W/f], rounded up where
  // H or W is no multiple of f. Throws kBadInput for another shape or without an encoder.
  at::Tensor encode(const at::Tensor& image);

  // latent: [B,latent_channels,h,w], softly clamped to [-3,3] first. Returns [B,out_channels,
  // h*f,w*f], about [-1,1], not clipped. Throws kBadInput as above.
  at::Tensor decode(const at::Tensor& latent);

  // Converts the autoencoder's own latents to those that a denoiser gets, and back; in released
  // models both are the same.
  at::Tensor scale(const at::Tensor& latent) const;
  at::Tensor unscale(const at::Tensor& latent) const;

  const AutoencoderTinyConfig& config() const { return config_; }

 private:
  AutoencoderTinyConfig config_;
  std::shared_ptr<torch::nn::Module> encoder_, decoder_;
};

}  // namespace pangu::nn
