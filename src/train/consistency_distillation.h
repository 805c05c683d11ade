// Distillation of a denoiser into one that draws in a few steps without guidance: a phased
// consistency model (Wang et al. 2024), whose phases divide the range of t of one expert, so that
// experts stay apart and each is distilled alone. Within a phase the teacher's path of DDIM (Song
// et al. 2021) leads down to the phase's edge, and the student learns to reach that edge in one
// step from every point of the path: the same as from the next point, where the teacher's step with
// guidance goes (Song et al. 2023; Luo et al. 2023, Latent Consistency Models).
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "diffusion/parameterisation.h"
#include "diffusion/schedule.h"

namespace pangu::train {

// One step of DDIM in the network's own scale: x_to = skip * x_from + slope * prediction.
struct DdimStep {
  double skip = 1, slope = 0;
};
// Exactly {1, 0} from a point to itself.
DdimStep ddim_step(diffusion::Parameterisation parameterisation,
                   const diffusion::Coefficients& from, const diffusion::Coefficients& to);

// The paths of an expert for t in [min_timestep, max_timestep): `steps` equal steps of t, `phases`
// equal parts of them. Where max_timestep is that of the schedule and min_timestep 0, the edges are
// the points of the sampling rule `sgm_uniform`, and the last one is the clean latent.
struct PhasePlan {
  int64_t min_timestep = 0, max_timestep = 1000;
  int64_t phases = 1, steps = 1;  // steps is a multiple of phases
};

struct PathPoint {
  double t_index = 0;
  diffusion::Coefficients at;
};
// Where a sample of this t is, where the teacher goes from there, and the edge of the phase; `next`
// may be the edge itself.
struct PathSection {
  PathPoint from, next, edge;
};
PathSection section_of(const PhasePlan& plan, const diffusion::Schedule& schedule, int64_t t_index);

// x: [B,C,h,w] in the network's scale, t_index: [B] f32; returns the prediction [B,C,h,w].
using Predict = std::function<at::Tensor(const at::Tensor& x, const at::Tensor& t_index)>;

// Samples at the beginning of their sections.
struct PathBatch {
  at::Tensor x;        // [B,C,h,w] f32, signal * x0 + noise * eps
  at::Tensor t_index;  // [B] f32
};
PathBatch path_batch(const at::Tensor& x0, const at::Tensor& noise,
                     const std::vector<PathSection>& sections);

// What the student has to predict at the beginning of the sections, so that one step of DDIM from
// there ends where it ends from the next point. teacher: with guidance; student: with the weights
// of the moment. Neither is differentiated. [B,C,h,w] f32
at::Tensor consistency_target(const PathBatch& batch, const std::vector<PathSection>& sections,
                              diffusion::Parameterisation parameterisation, const Predict& teacher,
                              const Predict& student);

}  // namespace pangu::train
