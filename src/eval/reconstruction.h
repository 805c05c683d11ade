// Measures how well an autoencoder reconstructs pictures, and how its latents are distributed. It
// knows no network.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>

namespace pangu::eval {

// Returns [N] f64, the PSNR of each picture of two sets [N,3,H,W], clipped to [-1,1]: 10 log10(4 /
// mean square of the difference). A mean square below 1e-10, which nobody can see, counts as 1e-10.
at::Tensor psnr_db(const at::Tensor& found, const at::Tensor& wanted);

struct Reconstruction {
  double latent_mean = 0, latent_deviation = 0;  // over all values of all latents
  double psnr_db = 0;                            // mean over pictures
};

// next: some pictures [B,3,H,W] in [-1,1] at each call, at least one in all, then an undefined
// tensor. encode: pictures to latents [B,C,h,w]; decode: latents to pictures.
Reconstruction reconstruction_of(const std::function<at::Tensor(const at::Tensor&)>& encode,
                                 const std::function<at::Tensor(const at::Tensor&)>& decode,
                                 const std::function<at::Tensor()>& next);

}  // namespace pangu::eval
