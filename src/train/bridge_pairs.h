// Pictures to pairs of latents that show the same in two spaces: what a learned bridge is trained
// and judged on. Knows no converter and no autoencoder.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/rng.h"
#include "data/dataset.h"
#include "train/bridge_loss.h"

namespace pangu::train {

// One end of a bridge: latents [B,C,h,w] as a denoiser sees them, pixels [B,3,H,W] in [-1,1].
struct BridgeSide {
  std::string name;
  std::string space;    // the text of its latent space
  std::string encoder;  // tells encoders apart; spaces of one encoder are a linear map apart
  int channels = 0, downscale = 0;
  int size_px = 0;  // side of the square that it works at, a multiple of downscale
  std::function<at::Tensor(const at::Tensor& latents)> decode;
  std::function<at::Tensor(const at::Tensor& pixels)> encode;
};

// The nearest side of at least four latent pixels.
int bridge_size_px(double side_px, int downscale);

struct BridgeShape {
  int a_width = 0, a_height = 0, b_width = 0, b_height = 0;  // pixels
};

// The shapes that are trained on: both sides' own size, three quarters of it, five aspect ratios;
// and, between two spaces, one size in pixels for both. The first is the two sides' own square.
std::vector<BridgeShape> bridge_shapes(const BridgeSide& a, const BridgeSide& b);

struct PairOptions {
  uint64_t seed = 0;
  // Guesses of a clean picture at high noise are blurred, pale, and means of several pictures.
  // There is no denoiser here to make them, so these shares of the pairs are low-passed, mixed with
  // another picture, or drawn towards their mean colour ...
  double blur_share = 0.3, mix_share = 0.1, pale_share = 0.1;
  // ... and for this share means of several pictures' latents are sent through the exact bridge,
  // each serving one direction.
  double latent_mix_share = 0.25;
};

// Makes pairs in batches of one shape.
class PairMaker {
 public:
  // pixels: [B,3,H,W] -> [B,3,height,width], as the exact bridge between the sides resizes.
  using Resize = std::function<at::Tensor(const at::Tensor& pixels, int width, int height)>;

  PairMaker(const BridgeSide& a, const BridgeSide& b, std::vector<data::Item> pictures,
            PairOptions options, Resize resize);

  // The pairs of batch `number`, about `count` of them, a pure function of (options, number). Fewer
  // if pictures cannot be read, which `report` then names.
  std::vector<LatentPair> batch(uint64_t number, int64_t count, data::Report& report) const;

  // Undegraded pairs of the square shape, of `count` pictures in their order. pixels: [3,H,W] each,
  // of the larger size.
  std::vector<LatentPair> plain(int64_t count, data::Report& report) const;

  // B's latent through pixels, as the exact bridge does it. forth: from A to B.
  at::Tensor exact(const at::Tensor& latents, const BridgeShape& shape, bool forth) const;

 private:
  at::Tensor view(Rng& rng, int width, int height, data::Report& report) const;
  void degrade(at::Tensor& pixels, Rng& rng, data::Report& report) const;
  std::vector<LatentPair> encoded(const std::vector<at::Tensor>& pixels,
                                  const BridgeShape& shape) const;

  BridgeSide a_, b_;
  std::vector<data::Item> pictures_;
  std::vector<BridgeShape> shapes_;
  PairOptions options_;
  Resize resize_;
};

}  // namespace pangu::train
