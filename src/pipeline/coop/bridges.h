// Bridges carry a clean latent from one latent space at one size into another: through pixels by
// both autoencoders, through tiny autoencoders, or by a small network that was trained for the two
// spaces. They know no noise level.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "image/resize.h"
#include "pipeline/latent_space.h"

namespace pangu::pipeline {

// Resizes pixels [B,C,H,W] to [B,C,height,width] f32 as image::resize does, but without rounding to
// bytes.
at::Tensor resampled(const at::Tensor& pixels, int64_t height, int64_t width, image::Filter filter);
// The filter of a name: "nearest", "bilinear", "bicubic", "lanczos". Throws kBadInput, which names
// them, for another.
image::Filter filter_from(const std::string& name);

// A latent space at a size, where a bridge begins or ends: latents
// [B,channels,height/downscale,width/downscale], as a denoiser gets them, and pixels
// [B,3,height,width], about [-1,1]. An empty callable means that the member lacks it.
struct BridgeEnd {
  std::string name;  // the member's name, for errors
  LatentSpace space;
  int channels = 0, downscale = 0;
  int width = 0, height = 0;
  std::function<at::Tensor(const at::Tensor& latents)> decode, tiny_decode;
  std::function<at::Tensor(const at::Tensor& pixels)> encode, tiny_encode;
};

// A network that carries latents from one space into another, at any size.
struct LearnedBridge {
  LatentSpace from, to;  // it serves all spaces of these encoders
  std::string path;
  double grid_scale = 0.0;  // ratio of the latents' sides, target to source, in training; 0: any
  bool named = false;       // whether the recipe names it, rather than a folder of the program
  // The PSNR that its training measured on held-out pictures, and the exact bridge's on the same
  // pictures.
  std::optional<double> psnr_db, exact_psnr_db;
  // Carries x0 [B,C,h,w] to [B,C',height,width], in latent pixels of the other space.
  std::function<at::Tensor(const at::Tensor& x0, int64_t height, int64_t width)> convert;
};

enum class BridgeKind { kIdentity, kExact, kTiny, kLearned };
std::string to_string(BridgeKind kind);  // "identity", "exact", "tiny", "learned"

struct PickedBridge {
  BridgeKind kind = BridgeKind::kExact;
  std::string why;  // the reason for the choice, for the plan
  std::function<at::Tensor(const at::Tensor& x0)> cross;
};

// Picks the bridge of a pair. requested: "auto", "exact", "tiny" or "learned".
//   - Two ends of one space and size need no bridge, whatever is requested. Two spaces of one
//     encoder at one size are scaled.
//   - Of several learned bridges for the two spaces, the one of the nearest grid_scale is picked.
//     Of equally near ones it is a named one, then that of the highest known PSNR, then the first.
//   - "auto" takes a learned bridge if there is one for this ratio of grids (within 5 %), else tiny
//     autoencoders if both ends have one, else the exact bridge.
//   - "tiny" takes the tiny autoencoder of each end that has one.
// Throws kBadInput naming the member for a kind that its end lacks, or for an unknown word.
PickedBridge pick_bridge(const std::string& requested, const BridgeEnd& from, const BridgeEnd& to,
                         const std::vector<LearnedBridge>& learned,
                         image::Filter filter = image::Filter::kBicubic);

}  // namespace pangu::pipeline
