// One expert alone, with networks that know the answer.
#include "pipeline/expert_samples.h"

#include <doctest/doctest.h>
#include <torch/types.h>

namespace pangu::pipeline {
namespace {

TEST_CASE("an expert that knows the clean latent lands on it, guided from its unconditional side") {
  const diffusion::Schedule schedule;
  const at::Tensor clean = at::randn({3, 4, 8, 8});
  std::vector<double> times;
  ExpertSamples asked{schedule};
  asked.parameterisation = diffusion::Parameterisation::kX0;
  asked.latents = at::zeros_like(clean);
  asked.guidance = 3.0;
  asked.conditions.context = at::zeros({6, 1, 1});
  asked.predict = [&](const at::Tensor& x, const at::Tensor& t, const Conditions& told) {
    times.push_back(t.item<double>());
    CHECK(x.sizes() == at::IntArrayRef({6, 4, 8, 8}));
    CHECK(told.context.size(0) == 6);
    return at::cat({at::zeros_like(clean), clean / 3.0});
  };
  const at::Tensor found = expert_samples(asked);
  CHECK((found - clean).abs().max().item<double>() < 1e-5);
  CHECK(times.size() == 12);
  CHECK(times.front() == 999);
}

TEST_CASE("without guidance each step asks once, at equal steps of t where these are asked for") {
  const diffusion::Schedule schedule;
  std::vector<double> times;
  ExpertSamples asked{schedule};
  asked.parameterisation = diffusion::Parameterisation::kX0;
  asked.min_timestep = 499;
  asked.latents = at::zeros({2, 4, 8, 8});
  asked.guidance = 1;
  asked.steps = 5;
  asked.equal_steps_of_t = true;
  asked.conditions.context = at::arange(4).view({4, 1, 1});
  asked.predict = [&](const at::Tensor& x, const at::Tensor& t, const Conditions& told) {
    times.push_back(t.item<double>());
    CHECK(at::equal(told.context.flatten(), at::tensor({2, 3})));
    return at::full_like(x, 0.5);
  };
  CHECK((expert_samples(asked) - 0.5).abs().max().item<double>() < 1e-6);
  CHECK(times == std::vector<double>{999, 899, 799, 699, 599});
}

TEST_CASE("an expert of low noise begins from its pictures under the noise of its first step") {
  const diffusion::Schedule schedule;
  ExpertSamples asked{schedule};
  asked.parameterisation = diffusion::Parameterisation::kX0;
  asked.max_timestep = 500;
  asked.latents = at::full({1, 4, 32, 32}, 7.0);
  at::Tensor first;
  asked.predict = [&](const at::Tensor& x_net, const at::Tensor& t, const Conditions&) {
    if (!first.defined()) {
      CHECK(t.item<double>() == 499);
      first = x_net[0] / schedule.input_scale(schedule.sigma_of_t(499));
    }
    return x_net;
  };
  expert_samples(asked);
  // 4096 values: the mean's deviation is sigma / 64.
  const double sigma = schedule.sigma_of_t(499);
  CHECK(std::abs(first.mean().item<double>() - 7.0) < sigma / 12);
  CHECK(first.std().item<double>() == doctest::Approx(sigma).epsilon(0.1));
}

TEST_CASE("a sheet shows pictures row by row") {
  at::Tensor pictures = at::full({3, 3, 4, 4}, -1.0);
  pictures[2].fill_(1.0);
  const image::Image sheet = sheet_of(pictures, 2, 16);
  CHECK(sheet.width > 2 * 16 - 1);
  CHECK(sheet.height > 2 * 16 - 1);
}

}  // namespace
}  // namespace pangu::pipeline
