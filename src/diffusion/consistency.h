// The boundary condition of a latent consistency model (Luo et al. 2023): its guess of x0 is scaled
// so that at t = 0 it is the input itself. The condition belongs to how the network was trained, so
// it wraps the denoiser, and the sampler (sample_lcm) stays a function of (D, x, sigmas).
#pragma once
#include "diffusion/denoiser.h"
#include "diffusion/schedule.h"

namespace pangu::diffusion {

// The defaults are those of diffusers' LCMScheduler.
struct ConsistencyBoundary {
  double timestep_scaling = 10.0;
  double sigma_data = 0.5;
};
struct BoundaryScalings {
  double skip, out;
};
// With s = t_index * timestep_scaling and d = sigma_data:
// skip = d^2 / (s^2 + d^2), out = s / sqrt(s^2 + d^2).
BoundaryScalings boundary_scalings(const ConsistencyBoundary& boundary, double t_index);

// Wraps D: x0 <- out * D(x, sigma) + skip * x_net, with x_net the network's own input. Every part
// of a tuple is treated so.
Denoiser consistency(Denoiser D, const Schedule& schedule,
                     const ConsistencyBoundary& boundary = {});

}  // namespace pangu::diffusion
