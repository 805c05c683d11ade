// LatentConverter: a small convolutional network from latents of one autoencoder to those of
// another one, at any sizes and any ratio of them. It knows no noise level; `space` strings are
// words here. Our own network: a linear path, residual blocks at the source's grid, resampling of
// the features, residual blocks at the target's grid, and sub-pixel steps (Shi et al. 2016) where
// grids differ.
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "nn/weights.h"

namespace pangu::nn {

struct LatentConverterConfig {
  int64_t from_channels = 4, to_channels = 4;
  int64_t from_downscale = 8, to_downscale = 8;  // pixels a latent pixel
  std::string from_space, to_space;              // pipeline::LatentSpace::text
  std::string from_name, to_name;                // of the models, for people
  // Side of the target's latents by that of the source's, as trained most.
  double grid_scale = 1.0;
  int64_t hidden_channels = 128;
  int64_t from_blocks = 2, to_blocks = 2;  // before and after resampling
  // Source pixels a cell of the working grid, each way, and target pixels a cell.
  int64_t fold_in = 1, fold_out = 1;
  // Of every channel, over training pictures; the network sees and gives (z - mean) / std.
  std::vector<double> from_mean, from_std, to_mean, to_std;

  bool operator==(const LatentConverterConfig&) const = default;

  // Error kBadInput naming the key.
  static LatentConverterConfig from_json(const nlohmann::json& json);
  nlohmann::json to_json() const;
  void validate() const;
};

// Folds that bring both grids close to the coarser of them. grid_scale: as in the configuration.
void choose_folds(LatentConverterConfig& config);

class LatentConverter : public torch::nn::Module {
 public:
  // Fresh weights of torch's defaults, so that it begins as a linear map. Error kBadInput.
  explicit LatentConverter(const LatentConverterConfig& config);

  // latents: [B,from_channels,h,w] f32, as the denoiser of the source sees them. Returns
  // [B,to_channels,height,width] f32, as that of the target does; both show the whole of one
  // picture. Differentiable. Error kBadInput for another shape.
  at::Tensor forward(const at::Tensor& latents, int64_t height, int64_t width);

  // (latents, latents of the target), [C,h,w] and [C',height,width] of any sizes.
  using LatentPairs = std::vector<std::pair<at::Tensor, at::Tensor>>;

  // Sets the linear path to the least squares fit of such pairs; the network starts from there.
  // Ridge regression, exact because the path and resampling commute. Error kBadInput for no pairs
  // or other shapes.
  void fit_linear(const LatentPairs& pairs);
  // Sets the last layer, likewise, to the least squares fit of what the linear path leaves, given
  // the features that the blocks make: no other last layer fits these pairs better. It stays as it
  // is where features are not finite. On the host.
  void fit_output(const LatentPairs& pairs);

  const LatentConverterConfig& config() const { return config_; }

 private:
  struct Layers;
  struct Halves {
    at::Tensor linear, features;  // of the linear path, and what the last layer sees
  };
  Halves halves_of(const at::Tensor& latents, int64_t height, int64_t width) const;
  at::Tensor folded(const at::Tensor& latents) const;
  at::Tensor wanted(const at::Tensor& to) const;
  void check(const LatentPairs& pairs) const;
  LatentConverterConfig config_;
  std::shared_ptr<Layers> layers_;
};

}  // namespace pangu::nn
