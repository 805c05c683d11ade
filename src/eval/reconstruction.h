// How well an autoencoder gives pictures back, and how its latents are spread. Knows no network.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>

namespace pangu::eval {

// Of two sets of pictures [N,3,H,W] in [-1,1], clipped to it: 10 log10(4 / mean square of the
// difference) of each picture, [N] f64. A difference that cannot be seen (1e-10) counts as the
// least.
at::Tensor psnr_db(const at::Tensor& found, const at::Tensor& wanted);

struct Reconstruction {
  double latent_mean = 0, latent_deviation = 0;  // of all values of all latents
  double psnr_db = 0;                            // mean over pictures
};

// pictures: [N,3,H,W] in [-1,1], at least one. encode gives latents [B,C,h,w], decode their
// pictures.
Reconstruction reconstruction_of(const std::function<at::Tensor(const at::Tensor&)>& encode,
                                 const std::function<at::Tensor(const at::Tensor&)>& decode,
                                 const at::Tensor& pictures);

}  // namespace pangu::eval
