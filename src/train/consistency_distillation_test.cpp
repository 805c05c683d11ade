#include "train/consistency_distillation.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>

namespace pangu::train {
namespace {

using diffusion::Coefficients;
using diffusion::Parameterisation;

constexpr Parameterisation kAll[] = {Parameterisation::kEps, Parameterisation::kV,
                                     Parameterisation::kX0};

// Predictions of a network that knows the one picture there is: its path is known in closed form.
Predict knowing(const at::Tensor& x0, const diffusion::Schedule& schedule,
                Parameterisation parameterisation) {
  return [=](const at::Tensor& x, const at::Tensor& t_index) {
    std::vector<at::Tensor> rows;
    for (int64_t i = 0; i < x.size(0); ++i) {
      const Coefficients c =
          schedule.coefficients(schedule.sigma_of_t(double(t_index[i].item<float>())));
      const at::Tensor eps = (x[i] - c.signal * x0) / c.noise;
      rows.push_back(diffusion::prediction_from(parameterisation, x0, eps, c));
    }
    return at::stack(rows);
  };
}

double most(const at::Tensor& a) { return a.abs().max().item<double>(); }

TEST_CASE("a step of DDIM keeps the clean latent and the noise that a prediction implies") {
  const diffusion::Schedule schedule;
  const Coefficients from = schedule.coefficients_at(700), to = schedule.coefficients_at(300);
  const at::Tensor x0 = at::randn({2, 3}), eps = at::randn({2, 3});
  for (const Parameterisation parameterisation : kAll) {
    const DdimStep step = ddim_step(parameterisation, from, to);
    const at::Tensor prediction = diffusion::prediction_from(parameterisation, x0, eps, from);
    const at::Tensor there =
        step.skip * (from.signal * x0 + from.noise * eps) + step.slope * prediction;
    CHECK(most(there - (to.signal * x0 + to.noise * eps)) < 1e-5);
    CHECK(ddim_step(parameterisation, from, from).skip == 1);
    CHECK(ddim_step(parameterisation, from, from).slope == 0);
  }
}

TEST_CASE("sections lead down to the edge of their phase, and the last one to the clean latent") {
  const diffusion::Schedule schedule;
  const PhasePlan structure{500, 1000, 2, 10};
  const PathSection first = section_of(structure, schedule, 999);
  CHECK(first.from.t_index == 999);
  CHECK(first.next.t_index == doctest::Approx(0.999 * 950));
  CHECK(first.edge.t_index == doctest::Approx(0.999 * 750));
  const PathSection last = section_of(structure, schedule, 500);
  CHECK(last.from.t_index == doctest::Approx(0.999 * 550));
  CHECK(last.next.t_index == doctest::Approx(0.999 * 500));
  CHECK(last.edge.t_index == last.next.t_index);
  // The texture expert begins where the structure expert ends.
  const PhasePlan texture{0, 500, 2, 10};
  CHECK(section_of(texture, schedule, 499).from.t_index == last.edge.t_index);
  const PathSection clean = section_of(texture, schedule, 0);
  CHECK(clean.edge.at.signal == 1);
  CHECK(clean.edge.at.noise == 0);
  CHECK(clean.next.at.noise == 0);
  CHECK(section_of(texture, schedule, 120).next.at.noise > 0);
}

TEST_CASE("a flow's path ends at its own last time") {
  const diffusion::Schedule flow({.beta_schedule = diffusion::BetaSchedule::kFlow});
  const PathSection first = section_of({0, 1000, 4, 8}, flow, 999);
  CHECK(first.from.t_index == 1000);
  CHECK(first.from.at.signal == doctest::Approx(1.0 / 4096).epsilon(0.01));
  CHECK(first.edge.at.noise == doctest::Approx(0.75));
}

TEST_CASE("who knows the only picture is asked for the prediction that it makes") {
  const diffusion::Schedule schedule;
  const at::Tensor x0 = at::randn({2, 4, 4}), noise = at::randn({4, 2, 4, 4});
  std::vector<PathSection> sections;
  for (const int64_t t : {0, 130, 260, 499}) {
    sections.push_back(section_of({0, 500, 2, 10}, schedule, t));
  }
  const PathBatch batch = path_batch(x0.expand({4, 2, 4, 4}), noise, sections);
  for (const Parameterisation parameterisation : kAll) {
    const Predict net = knowing(x0, schedule, parameterisation);
    const at::Tensor wanted = consistency_target(batch, sections, parameterisation, net, net);
    CHECK(most(wanted - net(batch.x, batch.t_index)) < 2e-3);
    // A student that is wrong is wanted to be as wrong from here: but next to an edge, where the
    // teacher alone is heard.
    const Predict wrong = [&](const at::Tensor& x, const at::Tensor& t) { return net(x, t) + 1; };
    const at::Tensor moved =
        (consistency_target(batch, sections, parameterisation, net, wrong) - wanted)
            .abs()
            .amax({1, 2, 3});
    CHECK(moved[0].item<double>() == 0);
    CHECK(moved[3].item<double>() > 0.3);
  }
}

TEST_CASE("neither teacher nor student is differentiated through the target") {
  const diffusion::Schedule schedule;
  const std::vector<PathSection> sections{section_of({500, 1000, 1, 5}, schedule, 900)};
  const PathBatch batch = path_batch(at::randn({1, 2, 4, 4}), at::randn({1, 2, 4, 4}), sections);
  const at::Tensor weight = at::ones({1}).requires_grad_();
  const Predict net = [&](const at::Tensor& x, const at::Tensor&) { return x * weight; };
  CHECK_FALSE(consistency_target(batch, sections, Parameterisation::kV, net, net).requires_grad());
}

}  // namespace
}  // namespace pangu::train
