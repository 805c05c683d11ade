// What one of the time-decoupled experts makes of noise by itself, for a look at a training: it
// starts at the top of its noise levels and stops at their bottom with the clean latent that it
// then sees.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>

#include "diffusion/parameterisation.h"
#include "diffusion/schedule.h"
#include "image/image.h"
#include "pipeline/model.h"

namespace pangu::pipeline {

struct ExpertSamples {
  const diffusion::Schedule& schedule;
  diffusion::Parameterisation parameterisation = diffusion::Parameterisation::kEps;
  int64_t min_timestep = 0, max_timestep = 1000;  // the expert serves [min, max)
  int steps = 12;
  bool equal_steps_of_t = false;  // else of log(sigma)
  double guidance = 4.0;
  // Clean latents [N,C,h,w] f32: their shape, and for an expert whose range does not reach pure
  // noise what is under the noise.
  at::Tensor latents = {};
  // Of 2N rows, those of the unconditional side first; f32.
  Conditions conditions = {};
  // TrainableDenoiser::predict of a network in f32.
  std::function<at::Tensor(const at::Tensor& x_net, const at::Tensor& t_index, const Conditions&)>
      predict = {};
};

// Clean latents [N,C,h,w]; sample i has the noise of seed i.
at::Tensor expert_samples(const ExpertSamples& asked);

// Pictures [N,3,H,W] in [-1,1] as one contact sheet, row by row.
image::Image sheet_of(const at::Tensor& pictures, int columns, int cell_px);

}  // namespace pangu::pipeline
