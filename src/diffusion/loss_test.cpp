// Tests weights against golden numbers (NumPy, from the formulas of Hang et al. 2023), and the
// functions against each other.
#include "diffusion/loss.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <cmath>

#include "core/error.h"
#include "core/rng.h"

namespace pangu::diffusion {
namespace {

double weight(Parameterisation parameterisation, LossWeighting weighting, int64_t t,
              const Schedule& schedule = Schedule()) {
  LossConfig config;
  config.parameterisation = parameterisation;
  config.weighting = weighting;
  return loss_weight(config, schedule, t);
}

at::Tensor timesteps(std::vector<int64_t> values) { return at::tensor(values, at::kLong); }

TEST_CASE("min-SNR-gamma weights are those of Hang et al.") {
  struct Golden {
    int64_t t;
    double eps, v, x0;
  };
  for (const Golden& g : {Golden{0, 0.00425361557323734, 0.00425000000000009, 5.0},
                          {100, 0.591443442633173, 0.528882612067203, 5.0},
                          {499, 1.0, 0.277669650456468, 0.38440811829648},
                          {900, 1.0, 0.0141511419696725, 0.0143542713007202}}) {
    CAPTURE(g.t);
    const auto kMinSnr = LossWeighting::kMinSnr;
    CHECK(weight(Parameterisation::kEps, kMinSnr, g.t) == doctest::Approx(g.eps).epsilon(1e-10));
    CHECK(weight(Parameterisation::kV, kMinSnr, g.t) == doctest::Approx(g.v).epsilon(1e-10));
    CHECK(weight(Parameterisation::kX0, kMinSnr, g.t) == doctest::Approx(g.x0).epsilon(1e-10));
  }
}

TEST_CASE("epsilon weighting is one on eps and sigma^-2 on x0") {
  const Schedule sd;
  for (const int64_t t : {0, 500, 999}) {
    const double sigma = sd.sigma_of_t(static_cast<double>(t));
    CHECK(weight(Parameterisation::kEps, LossWeighting::kEpsilon, t) == 1.0);
    CHECK(weight(Parameterisation::kX0, LossWeighting::kEpsilon, t) ==
          doctest::Approx(1.0 / (sigma * sigma)).epsilon(1e-12));
    CHECK(weight(Parameterisation::kX0, LossWeighting::kNone, t) == 1.0);
  }
}

TEST_CASE(
    "EDM's weighting is lambda of Karras et al. with a ceiling, and that of v for unit data") {
  const Schedule sd;
  LossConfig config;
  config.parameterisation = Parameterisation::kX0;
  config.weighting = LossWeighting::kEdm;
  config.sigma_data = 0.5;
  config.snr_gamma = 1e9;
  for (const int64_t t : {0, 500, 999}) {
    const double s = sd.sigma_of_t(static_cast<double>(t));
    const double lambda = (s * s + 0.25) / (s * 0.5 * s * 0.5);
    CHECK(loss_weight(config, sd, t) == doctest::Approx(0.25 * lambda).epsilon(1e-9));
  }
  config.snr_gamma = 5.0;
  CHECK(loss_weight(config, sd, 0) == 6.0);
  config.parameterisation = Parameterisation::kV;
  config.sigma_data = 1.0;
  CHECK(loss_weight(config, sd, 900) == doctest::Approx(1.0).epsilon(1e-9));
}

TEST_CASE("weights stay finite where there is no signal at all") {
  ScheduleConfig config;
  config.rescale_betas_zero_snr = true;
  const Schedule zero(config);
  CHECK(weight(Parameterisation::kEps, LossWeighting::kMinSnr, 999, zero) == 1.0);
  CHECK(weight(Parameterisation::kV, LossWeighting::kMinSnr, 999, zero) == 0.0);
  CHECK(weight(Parameterisation::kEps, LossWeighting::kEpsilon, 999, zero) == 1.0);
  CHECK(weight(Parameterisation::kV, LossWeighting::kEpsilon, 999, zero) == 0.0);
  CHECK(weight(Parameterisation::kV, LossWeighting::kEdm, 999, zero) == 1.0);
}

TEST_CASE("one error weighs the same in every parameterisation") {
  // The same wrong guess of x0, expressed as eps, v, x0 and flow, must cost the same.
  const Schedule sd;
  const at::Tensor x0 = at::randn({3, 4, 5, 5}, at::kDouble), noise = at::randn_like(x0);
  const at::Tensor t_index = timesteps({20, 480, 990});
  const at::Tensor wrong_x0 = x0 + 0.1 * at::randn_like(x0);
  const at::Tensor x_net = noisy_input(x0, t_index, noise, sd);
  for (const LossWeighting weighting :
       {LossWeighting::kMinSnr, LossWeighting::kEpsilon, LossWeighting::kEdm}) {
    at::Tensor first;
    for (const auto kind : {Parameterisation::kEps, Parameterisation::kV, Parameterisation::kX0,
                            Parameterisation::kFlow}) {
      std::vector<at::Tensor> guesses;
      for (int64_t b = 0; b < 3; ++b) {
        const Coefficients c = sd.coefficients_at(t_index[b].item<int64_t>());
        const at::Tensor eps = (x_net[b] - wrong_x0[b] * c.signal) / c.noise;
        guesses.push_back(prediction_from(kind, wrong_x0[b], eps, c));
      }
      LossConfig config;
      config.parameterisation = kind;
      config.weighting = weighting;
      const at::Tensor wanted = target(x0, t_index, noise, sd, kind);
      const at::Tensor loss = loss_per_sample(at::stack(guesses), wanted, t_index, sd, config);
      CHECK(loss.sizes() == at::IntArrayRef{3});
      if (!first.defined()) first = loss;
      CHECK((loss / first - 1.0).abs().max().item<double>() < 1e-9);
    }
  }
}

TEST_CASE("a perfect prediction costs nothing and the gradient is that of the formula") {
  const Schedule sd;
  LossConfig config;
  config.parameterisation = Parameterisation::kV;
  const at::Tensor x0 = at::randn({2, 3, 4, 4}), noise = at::randn_like(x0);
  const at::Tensor t_index = timesteps({100, 900});
  const at::Tensor wanted = target(x0, t_index, noise, sd, config.parameterisation);
  CHECK(loss_per_sample(wanted, wanted, t_index, sd, config).abs().max().item<double>() == 0.0);
  const at::Tensor guess = at::randn_like(x0).set_requires_grad(true);
  loss_per_sample(guess, wanted, t_index, sd, config).mean().backward();
  for (int64_t b = 0; b < 2; ++b) {
    const double w = loss_weight(config, sd, t_index[b].item<int64_t>());
    const at::Tensor golden = (guess[b] - wanted[b]).detach() * (2.0 * w / (48.0 * 2.0));
    CHECK((guess.grad()[b] - golden).abs().max().item<double>() < 1e-7);
  }
}

TEST_CASE("noisy input is the mixture of the schedule, in f32 whatever the latent's precision") {
  const Schedule sd;
  const at::Tensor x0 = at::randn({2, 4, 4, 4}), noise = at::randn_like(x0);
  const at::Tensor t_index = timesteps({0, 999});
  const at::Tensor mixed = noisy_input(x0, t_index, noise, sd);
  for (int64_t b = 0; b < 2; ++b) {
    const Coefficients c = sd.coefficients_at(t_index[b].item<int64_t>());
    CHECK((mixed[b] - (x0[b] * c.signal + noise[b] * c.noise)).abs().max().item<double>() < 1e-6);
  }
  const at::Tensor half = noisy_input(x0.to(at::kBFloat16), t_index, noise.to(at::kBFloat16), sd);
  CHECK((half.scalar_type() == at::kFloat));
  CHECK((noisy_input(x0.to(at::kDouble), t_index, noise, sd).scalar_type() == at::kDouble));
}

TEST_CASE("noise offset shifts whole channels") {
  const at::Tensor noise = at::randn({2, 4, 8, 8}), shift = at::randn({2, 4, 1, 1});
  CHECK(offset_noise(noise, shift, 0.0).is_same(noise));
  const at::Tensor moved = offset_noise(noise, shift, 0.1) - noise;
  CHECK((moved - 0.1 * shift).abs().max().item<double>() < 1e-6);
}

TEST_CASE("a batch's t fill the expert's range, and every t is as likely as another") {
  LossConfig config;
  config.min_timestep = 500;
  config.max_timestep = 540;
  std::vector<int> counts(40, 0);
  Rng rng(1, 2);
  for (int i = 0; i < 250; ++i) {
    const double draw = rng.uniform();
    int64_t before = 499;
    for (int64_t b = 0; b < 16; ++b) {
      const int64_t t = t_index_of_part(config, draw, b, 16);
      REQUIRE(t > before);  // 40 values in 16 parts: two neighbours never meet
      REQUIRE(t < 540);
      ++counts[size_t(t - 500)];
      before = t;
    }
  }
  // 4000 draws over 40 values: 100 expected, standard deviation 9.9 if they were independent.
  for (const int count : counts) CHECK(std::abs(count - 100) < 50);
}

TEST_CASE("the greatest draw stays within the range, of one t too") {
  LossConfig config;
  const double most = std::nextafter(1.0, 0.0);
  CHECK(t_index_of_part(config, most, 6, 7) == 999);
  CHECK(t_index_of_part(config, 0.0, 0, 7) == 0);
  config.min_timestep = 999;
  CHECK(t_index_of_part(config, most, 63, 64) == 999);
}

TEST_CASE("a loss that cannot work is refused with the field's name") {
  const Schedule sd;
  LossConfig config;
  CHECK_NOTHROW(config.validate(sd));
  config.max_timestep = 1001;
  CHECK_THROWS_WITH_AS(config.validate(sd), doctest::Contains("max_timestep"), Error);
  config = {};
  config.min_timestep = config.max_timestep;
  CHECK_THROWS_WITH_AS(config.validate(sd), doctest::Contains("min_timestep"), Error);
  config = {};
  config.snr_gamma = 0.0;
  CHECK_THROWS_WITH_AS(config.validate(sd), doctest::Contains("snr_gamma"), Error);
  config.snr_gamma = 5.0;
  config.weighting = LossWeighting::kEdm;
  config.sigma_data = 0.0;
  CHECK_THROWS_WITH_AS(config.validate(sd), doctest::Contains("sigma_data"), Error);
  CHECK(loss_weighting_from("min_snr") == LossWeighting::kMinSnr);
  CHECK_THROWS_AS(loss_weighting_from("minsnr"), Error);
  const at::Tensor x = at::randn({2, 3, 4, 4});
  CHECK_THROWS_AS(noisy_input(x, timesteps({1}), x, sd), Error);
  CHECK_THROWS_AS(noisy_input(x, timesteps({1, 1000}), x, sd), Error);
}

}  // namespace
}  // namespace pangu::diffusion
