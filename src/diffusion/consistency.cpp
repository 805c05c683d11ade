// The boundary condition of consistency models.
#include "diffusion/consistency.h"

#include <cmath>
#include <utility>

namespace pangu::diffusion {

BoundaryScalings boundary_scalings(const ConsistencyBoundary& boundary, double t_index) {
  const double s = t_index * boundary.timestep_scaling,
               d2 = boundary.sigma_data * boundary.sigma_data;
  return {d2 / (s * s + d2), s / std::sqrt(s * s + d2)};
}

Denoiser consistency(Denoiser D, const Schedule& schedule, const ConsistencyBoundary& boundary) {
  return [D = std::move(D), schedule, boundary](const Latents& x, double sigma) {
    const auto [skip, out] = boundary_scalings(boundary, schedule.t_of_sigma(sigma));
    return D(x, sigma) * out + x * (skip * schedule.input_scale(sigma));
  };
}

}  // namespace pangu::diffusion
