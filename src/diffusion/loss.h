// The training loss in pieces that the trainer composes: draw t in the expert's range, mix in
// noise, call the network, weigh its error. Time-decoupled training is two fields of the
// configuration. Sources: Ho et al. 2020; min-SNR-gamma, Hang et al. 2023; noise offset, Guttenberg
// 2023; EDM, Karras et al. 2022, eq. 8; sigma^-2, PanGu-Draw 3.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "diffusion/parameterisation.h"

namespace pangu::diffusion {

// By what a sample's squared error is weighted.
enum class LossWeighting {
  // "none": nothing; the loss is the mean squared error of the prediction itself.
  kNone,
  // "epsilon": the loss is the mean squared error of the eps that the prediction implies, which is
  // sigma^-2 on x0. PanGu-Draw's own.
  kEpsilon,
  // "min_snr": min(SNR, snr_gamma) on x0.
  kMinSnr,
  // "edm": 1 + min(sigma_data^2 SNR, snr_gamma) on x0. Without the minimum it is sigma_data^2 times
  // EDM's lambda, and at sigma_data = 1 the mean squared error of v.
  kEdm,
};
LossWeighting loss_weighting_from(const std::string& name);  // kBadInput names the known ones
std::string to_string(LossWeighting weighting);

// The range of t is [500, 1000) for a structure generator and [0, 500) for a texture generator.
struct LossConfig {
  Parameterisation parameterisation = Parameterisation::kEps;
  int64_t min_timestep = 0;
  int64_t max_timestep = 1000;  // exclusive
  LossWeighting weighting = LossWeighting::kMinSnr;
  double snr_gamma = 5.0;                         // Hang et al. 2023
  double sigma_data = 1.0;                        // kEdm: standard deviation of the latents
  double noise_offset = 0.0;                      // 0 is off; 0.05 to 0.1 is usual
  void validate(const Schedule& schedule) const;  // kBadInput names the field
};

// The t of sample number `position` in a batch of `batch` samples (stratified sampling):
// [min_timestep, max_timestep) is cut into `batch` equal parts, and `draw`, uniform in [0,1) and
// one for the whole batch, is the place within each. Every t is as likely as if it were drawn
// alone; the batch's mean loss varies less.
int64_t t_index_of_part(const LossConfig& config, double draw, int64_t position, int64_t batch);

// Returns noise + noise_offset * per_channel. noise: [B,C,H,W], per_channel: [B,C,1,1], both
// standard normal.
at::Tensor offset_noise(const at::Tensor& noise, const at::Tensor& per_channel,
                        double noise_offset);

// The functions below take x0, noise and prediction as [B,C,H,W], and t_index as [B] int64 with
// values in [0, N) (on the host, or it is copied there). Coefficients are computed in double and
// cast once. Results are f32 (f64 if the first argument is f64) on the first argument's device,
// also for half-precision inputs. All are differentiable.

// The network's input, a x0 + b noise.
at::Tensor noisy_input(const at::Tensor& x0, const at::Tensor& t_index, const at::Tensor& noise,
                       const Schedule& schedule);
// What the network should predict.
at::Tensor target(const at::Tensor& x0, const at::Tensor& t_index, const at::Tensor& noise,
                  const Schedule& schedule, Parameterisation parameterisation);
// The weight of one sample's mean squared error in the parameterisation of the network. At SNR 0 it
// is finite (kMinSnr gives 1 for kEps and 0 for the others), except that kEdm with kEps is infinite
// there.
double loss_weight(const LossConfig& config, const Schedule& schedule, int64_t t_index);
// Returns [B], the weight times the mean squared error over C, H, W.
at::Tensor loss_per_sample(const at::Tensor& prediction, const at::Tensor& target,
                           const at::Tensor& t_index, const Schedule& schedule,
                           const LossConfig& config);

}  // namespace pangu::diffusion
