#include "train/consistency_distillation.h"

#include <torch/types.h>

#include "core/error.h"

namespace pangu::train {
namespace {

using diffusion::Coefficients;

PathPoint point_of(const PhasePlan& plan, const diffusion::Schedule& schedule, int64_t step) {
  if (step == 0 && plan.min_timestep == 0) return {0, {1, 0}};
  const double n = double(schedule.num_train_timesteps());
  const double share = double(step) / double(plan.steps);
  const double t =
      double(plan.min_timestep) + double(plan.max_timestep - plan.min_timestep) * share;
  const double t_index = schedule.is_flow() ? t : t * (n - 1) / n;
  return {t_index, schedule.coefficients(schedule.sigma_of_t(t_index))};
}

// One number a sample, as a column that multiplies [B,C,h,w].
template <class Number>
at::Tensor per_sample(const std::vector<PathSection>& sections, const at::Tensor& like,
                      const Number& number) {
  std::vector<float> values;
  for (const PathSection& s : sections) values.push_back(static_cast<float>(number(s)));
  return at::tensor(values).view({-1, 1, 1, 1}).to(like.device());
}

struct StepColumns {
  at::Tensor skip, slope;
};

StepColumns columns_of(const std::vector<PathSection>& sections, const at::Tensor& like,
                       diffusion::Parameterisation parameterisation, PathPoint PathSection::* from,
                       PathPoint PathSection::* to) {
  const auto step = [&](const PathSection& s) {
    return ddim_step(parameterisation, (s.*from).at, (s.*to).at);
  };
  return {per_sample(sections, like, [&](const PathSection& s) { return step(s).skip; }),
          per_sample(sections, like, [&](const PathSection& s) { return step(s).slope; })};
}

}  // namespace

DdimStep ddim_step(diffusion::Parameterisation parameterisation, const Coefficients& from,
                   const Coefficients& to) {
  if (from.signal == to.signal && from.noise == to.noise) return {1, 0};
  // x = a x0 + b eps and p = u x0 + w eps are solved for x0 and eps.
  const double a = from.signal, b = from.noise;
  const auto [u, w] = diffusion::prediction_coefficients(parameterisation, from);
  const double determinant = a * w - b * u;
  return {(to.signal * w - to.noise * u) / determinant,
          (to.noise * a - to.signal * b) / determinant};
}

PathSection section_of(const PhasePlan& plan, const diffusion::Schedule& schedule,
                       int64_t t_index) {
  const int64_t span = plan.max_timestep - plan.min_timestep;
  const int64_t step = (t_index - plan.min_timestep) * plan.steps / span;
  const int64_t a_phase = plan.steps / plan.phases;
  return {point_of(plan, schedule, step + 1), point_of(plan, schedule, step),
          point_of(plan, schedule, step / a_phase * a_phase)};
}

PathBatch path_batch(const at::Tensor& x0, const at::Tensor& noise,
                     const std::vector<PathSection>& sections) {
  const auto signal = [](const PathSection& s) { return s.from.at.signal; };
  const auto amount = [](const PathSection& s) { return s.from.at.noise; };
  return {per_sample(sections, x0, signal) * x0 + per_sample(sections, x0, amount) * noise,
          per_sample(sections, x0, [](const PathSection& s) { return s.from.t_index; }).flatten()};
}

at::Tensor consistency_target(const PathBatch& batch, const std::vector<PathSection>& sections,
                              diffusion::Parameterisation parameterisation, const Predict& teacher,
                              const Predict& student) {
  const at::NoGradGuard no_grad;
  const auto columns = [&](PathPoint PathSection::* from, PathPoint PathSection::* to) {
    return columns_of(sections, batch.x, parameterisation, from, to);
  };
  const StepColumns down = columns(&PathSection::from, &PathSection::next);
  const at::Tensor next =
      down.skip * batch.x + down.slope * teacher(batch.x, batch.t_index).to(at::kFloat);
  const at::Tensor t_next =
      per_sample(sections, batch.x, [](const PathSection& s) { return s.next.t_index; }).flatten();
  const StepColumns rest = columns(&PathSection::next, &PathSection::edge);
  const at::Tensor edge = rest.skip * next + rest.slope * student(next, t_next).to(at::kFloat);
  const StepColumns whole = columns(&PathSection::from, &PathSection::edge);
  return (edge - whole.skip * batch.x) / whole.slope;
}

}  // namespace pangu::train
