// Several conditions, one prediction, one batched forward: classifier-free guidance (Ho and
// Salimans 2022) with a negative prompt, PanGu-Draw's style guidance, CFG rescale (Lin et al. 2023,
// section 3.4) and a guidance interval (Kynkaanniemi et al. 2024). It knows no prompt: a condition
// is the number of a row.
#pragma once
#include <functional>
#include <limits>
#include <vector>

#include "diffusion/parameterisation.h"

namespace pangu::diffusion {

// Row numbers. The caller's net decides which condition stands behind each number.
inline constexpr int kUncondRow = 0;  // the negative prompt, "" by default
inline constexpr int kCondRow = 1;
inline constexpr int kFirstStyleRow = 2;  // style j is row 2 + j

// The noise level at which a network is called. sigma is the number that the sampler called with;
// t_index is its time, and turning t_index back into a sigma would not give the same last bits.
struct NetLevel {
  double sigma = 0.0;
  double t_index = 0.0;
};

// x_net: [B,C,H,W] in the network's scale, rows: R row numbers. Returns [R*B,C,H,W], block r
// holding the B predictions under condition rows[r]. The net repeats x_net itself, so that it may
// share work between rows. One call is one forward. Rows without weight are left out, so rows may
// be {1} alone.
using BatchedNet = std::function<at::Tensor(const at::Tensor& x_net, const NetLevel& level,
                                            const std::vector<int>& rows)>;

// The guided prediction is e(0) + scale (e(c) - e(0)) + sum_j style_scales[j] (e(c_style_j) -
// e(c)).
struct Guidance {
  double scale = 1.0;
  std::vector<double> style_scales = {};  // one per style row
  double rescale = 0.0;                   // phi in [0, 1]: towards the standard deviation of e(c)
  // Outside (sigma_low, sigma_high] the prediction is e(c) alone: one row instead of all.
  double sigma_low = 0.0;
  double sigma_high = std::numeric_limits<double>::infinity();
  void validate() const;  // kBadInput names the field
};

// The weights of the rows in that sum, which add up to 1; rows with weight 0 are left out.
struct RowWeights {
  std::vector<int> rows;
  std::vector<double> weights;
};
RowWeights row_weights(const Guidance& guidance, double sigma);

// predictions: [R*B,C,H,W] in the order of `rows`. Returns [B,C,H,W]: the weighted sum, rescaled
// with each picture's own standard deviations. It is linear in the predictions when rescale is 0.
at::Tensor combine_rows(const at::Tensor& predictions, const RowWeights& rows, double rescale);

// The guided denoiser of one latent space. The sum is taken over raw predictions; being affine in
// x0 with weights that add up to 1, it is the same sum over x0 or eps. The rescale is not affine:
// it is applied to the raw prediction, as its authors and diffusers do.
Denoiser guide(BatchedNet net, Parameterisation parameterisation, const Schedule& schedule,
               const Guidance& guidance);

}  // namespace pangu::diffusion
