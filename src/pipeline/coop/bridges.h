// From one latent space at one size into another: through pixels by both autoencoders, through tiny
// ones, or by a small network that was trained for the two spaces. It knows no noise level.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "image/resize.h"
#include "pipeline/latent_space.h"

namespace pangu::pipeline {

// pixels: [B,C,H,W] -> [B,C,height,width] f32, as image::resize but without rounding to bytes.
at::Tensor resampled(const at::Tensor& pixels, int64_t height, int64_t width, image::Filter filter);
// "nearest", "bilinear", "bicubic", "lanczos"; kBadInput names them.
image::Filter filter_from(const std::string& name);

// A latent space at a size: latents [B,channels,height/downscale,width/downscale], as a denoiser
// sees them; pixels [B,3,height,width], about [-1,1]. An empty callable is "none".
struct BridgeEnd {
  std::string name;  // of the member, for errors
  LatentSpace space;
  int channels = 0, downscale = 0;
  int width = 0, height = 0;
  std::function<at::Tensor(const at::Tensor& latents)> decode, tiny_decode;
  std::function<at::Tensor(const at::Tensor& pixels)> encode, tiny_encode;
};

// A network from one space into another, at any size.
struct LearnedBridge {
  LatentSpace from, to;  // serves all spaces of these encoders
  std::string path;
  double grid_scale = 0.0;  // target's latent side by the source's, as trained most; 0: any
  bool named = false;       // by the recipe, not found beside the models
  // As its training measured on pictures that were held out; the exact bridge's on the same ones.
  std::optional<double> psnr_db, exact_psnr_db;
  // x0: [B,C,h,w] -> [B,C',height,width], latent pixels of the other space.
  std::function<at::Tensor(const at::Tensor& x0, int64_t height, int64_t width)> convert;
};

enum class BridgeKind { kIdentity, kExact, kTiny, kLearned };
std::string to_string(BridgeKind kind);  // "identity", "exact", "tiny", "learned"

struct PickedBridge {
  BridgeKind kind = BridgeKind::kExact;
  std::string why;  // for the plan
  std::function<at::Tensor(const at::Tensor& x0)> cross;
};

// asked: "auto", "exact", "tiny" or "learned". One space at one size needs no bridge, whatever was
// asked; two of one encoder are scaled. Of several learned ones for the two spaces the one of the
// nearest grid_scale is meant, of equally near ones a named one, then the one of the highest known
// PSNR, then the first. auto takes a learned one if there is one for this ratio of grids (within 5
// %), tiny ones if both ends have one, else the exact one. tiny asked takes each end's tiny
// autoencoder where there is one. Error kBadInput naming the member for a kind that its end lacks,
// or an unknown word.
PickedBridge pick_bridge(const std::string& asked, const BridgeEnd& from, const BridgeEnd& to,
                         const std::vector<LearnedBridge>& learned,
                         image::Filter filter = image::Filter::kBicubic);

}  // namespace pangu::pipeline
