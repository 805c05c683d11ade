// Pictures of a folder to pairs of latents that show the same in two spaces: what a learned bridge
// is trained and judged on. Knows no converter.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/rng.h"
#include "data/dataset.h"
#include "pipeline/coop/bridges.h"
#include "pipeline/model.h"
#include "train/bridge_loss.h"

namespace pangu::app {

// One end of a bridge: latents [B,C,h,w] as a denoiser sees them, pixels [B,3,H,W] in [-1,1].
struct BridgeSide {
  std::string name;
  pipeline::LatentSpace space;
  int channels = 0, downscale = 0;
  int size_px = 0;  // side of the square that it works at, a multiple of downscale
  std::function<at::Tensor(const at::Tensor& latents)> decode;
  std::function<at::Tensor(const at::Tensor& pixels)> encode;
};

// A model, or an autoencoder alone (AutoencoderKL, tiny) in a folder or file of its own. size_px 0:
// the model's default; of an autoencoder alone 0 stays.
BridgeSide open_bridge_side(const std::string& path, int size_px,
                            const pipeline::LoadOptions& options);

// Every PNG, JPEG and WebP in a folder and the folders in it, or the items of one of our datasets.
// Error kBadInput if there are none.
std::vector<data::Item> bridge_pictures(const std::string& path);

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
  PairMaker(const BridgeSide& a, const BridgeSide& b, std::vector<data::Item> pictures,
            PairOptions options);

  // The pairs of batch `number`, about `count` of them, a pure function of (options, number). Fewer
  // if pictures cannot be read, which `report` then names.
  std::vector<train::LatentPair> batch(uint64_t number, int64_t count, data::Report& report) const;

  // Undegraded pairs of the square shape, of `count` pictures in their order. pixels: [3,H,W] each,
  // of the larger size.
  std::vector<train::LatentPair> plain(int64_t count, data::Report& report) const;

  // B's latent through pixels, as pipeline::BridgeKind::kExact. forth: from A to B.
  at::Tensor exact(const at::Tensor& latents, const BridgeShape& shape, bool forth) const;

 private:
  at::Tensor view(Rng& rng, int width, int height, data::Report& report) const;
  void degrade(at::Tensor& pixels, Rng& rng, data::Report& report) const;
  std::vector<train::LatentPair> encoded(const std::vector<at::Tensor>& pixels,
                                         const BridgeShape& shape) const;

  BridgeSide a_, b_;
  std::vector<data::Item> pictures_;
  std::vector<BridgeShape> shapes_;
  PairOptions options_;
};

}  // namespace pangu::app
