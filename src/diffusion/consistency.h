// What a latent consistency model's output means (Luo et al. 2023): its guess of x0 is bent so that
// at t = 0 it is the input itself. That belongs to how the network was trained, so it wraps the
// denoiser and the sampler (sample_lcm) stays a function of (D, x, sigmas).
#pragma once
#include "diffusion/denoiser.h"
#include "diffusion/schedule.h"

namespace pangu::diffusion {

// Defaults of diffusers' LCMScheduler.
struct ConsistencyBoundary {
  double timestep_scaling = 10.0;
  double sigma_data = 0.5;
};
struct BoundaryScalings {
  double skip, out;
};
// s = t_index * timestep_scaling: skip = d^2 / (s^2 + d^2), out = s / sqrt(s^2 + d^2), d =
// sigma_data.
BoundaryScalings boundary_scalings(const ConsistencyBoundary& boundary, double t_index);

// x0 <- out * D(x, sigma) + skip * x_net, with x_net the network's own input; every part of a
// tuple.
Denoiser consistency(Denoiser D, const Schedule& schedule,
                     const ConsistencyBoundary& boundary = {});

}  // namespace pangu::diffusion
