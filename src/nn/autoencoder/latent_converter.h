// LatentConverter: a small convolutional network from latents of one autoencoder to those of
// another one, at any sizes and any ratio of them. It knows no noise level, and it does not
// interpret the names of spaces. The network is our own: a linear path, residual blocks at the
// source's grid, resampling of the features, residual blocks at the target's grid, and sub-pixel
// steps (Shi et al. 2016) where grids differ.
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
  std::string from_name, to_name;                // names of the models, shown to people
  // Ratio of the sides of the target's latents to the source's, as most training pairs had it.
  double grid_scale = 1.0;
  int64_t hidden_channels = 128;
  int64_t from_blocks = 2, to_blocks = 2;  // residual blocks before and after resampling
  // Latent pixels of the source, and of the target, along one side of a cell of the working grid.
  int64_t fold_in = 1, fold_out = 1;
  // Statistics of every channel over the training pictures; the network takes and returns (z -
  // mean) / std.
  std::vector<double> from_mean, from_std, to_mean, to_std;

  bool operator==(const LatentConverterConfig&) const = default;

  // Throws kBadInput naming the key.
  static LatentConverterConfig from_json(const nlohmann::json& json);
  nlohmann::json to_json() const;
  void validate() const;
};

// Sets the folds that bring both grids close to the coarser one, given the configuration's
// grid_scale.
void choose_folds(LatentConverterConfig& config);

class LatentConverter : public torch::nn::Module {
 public:
  // Makes fresh weights by torch's defaults, with which the network begins as a linear map. Throws
  // kBadInput for a bad configuration.
  explicit LatentConverter(const LatentConverterConfig& config);

  // latents: [B,from_channels,h,w] f32, as the source's denoiser gets them. Returns
  // [B,to_channels,height,width] f32, as the target's denoiser gets them; both show the whole of
  // one picture. Differentiable. Throws kBadInput for another shape.
  at::Tensor forward(const at::Tensor& latents, int64_t height, int64_t width);

  // Pairs of latents of the source [C,h,w] and of the target [C',height,width], of any sizes.
  using LatentPairs = std::vector<std::pair<at::Tensor, at::Tensor>>;

  // Sets the linear path to the least squares fit of such pairs, from which training starts. It is
  // a ridge regression, which is exact because the path and the resampling commute. Throws
  // kBadInput for no pairs or other shapes.
  void fit_linear(const LatentPairs& pairs);
  // Sets the last layer, likewise, to the least squares fit of what the linear path leaves, given
  // the features that the blocks make: no other last layer fits these pairs better. The layer stays
  // as it is if features are not finite. The fit is computed on the host.
  void fit_output(const LatentPairs& pairs);

  const LatentConverterConfig& config() const { return config_; }

 private:
  struct Layers;
  struct Halves {
    at::Tensor linear, features;  // the linear path's output, and the last layer's input
  };
  Halves halves_of(const at::Tensor& latents, int64_t height, int64_t width) const;
  at::Tensor folded(const at::Tensor& latents) const;
  at::Tensor wanted(const at::Tensor& to) const;
  void check(const LatentPairs& pairs) const;
  LatentConverterConfig config_;
  std::shared_ptr<Layers> layers_;
};

}  // namespace pangu::nn
