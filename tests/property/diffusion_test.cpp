// Laws of the diffusion room, on data whose exact answer is known: for x0 ~ N(mu, c^2) the
// posterior mean given x is D(x, sigma) = (c^2 x + sigma^2 mu) / (c^2 + sigma^2), and the
// probability flow carries x along x(sigma) = mu + (x_start - mu) sqrt((c^2 + sigma^2) / (c^2 +
// sigma_start^2)). All tests are in f64.
#include <ATen/ATen.h>
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <cmath>

#include "diffusion/experts.h"
#include "diffusion/guidance.h"
#include "diffusion/image_noise.h"
#include "diffusion/loss.h"
#include "diffusion/samplers/samplers.h"

namespace pangu::diffusion {
namespace {

double between(double low, double high) {
  return low + (high - low) * (*rc::gen::inRange(0, 10001)) / 10000.0;
}

Denoiser gaussian(double mu, double c) {
  return [mu, c](const Latents& x, double sigma) {
    Latents x0;
    for (const at::Tensor& part : x.parts) {
      x0.parts.push_back((part * (c * c) + sigma * sigma * mu) / (c * c + sigma * sigma));
    }
    return x0;
  };
}

// n steps from sigma 10 to sigma 0.1: a smooth family of grids, so that halving the step shows the
// order.
SigmaList grid(int64_t n) {
  SigmaList sigmas = karras_sigmas(n + 1, 0.1, 10.0);
  sigmas.pop_back();
  return sigmas;
}

double error_of(const Sampler& sampler, int64_t steps, double mu, double c, double start) {
  const SigmaList sigmas = grid(steps);
  const at::Tensor x = at::full({1, 1, 1, 1}, start, at::kDouble);
  const Latents end = sampler.sample(gaussian(mu, c), x, sigmas, {}, {}, {.eta = 0.0});
  const double first = sigmas.front(), last = sigmas.back();
  const double exact =
      mu + (start - mu) * std::sqrt((c * c + last * last) / (c * c + first * first));
  return std::abs(end.one().item<double>() - exact);
}

TEST_CASE("samplers reach the exact answer of a Gaussian at the order they claim") {
  struct Order {
    const char* name;
    int64_t steps;
    double ratio, tolerance;  // of the errors at `steps` and at twice as many steps
  };
  // The errors of the first steps hide the higher orders of lms, unipc and dpmpp_3m_sde here;
  // samplers_test.cpp tests those.
  for (const Order& order : {Order{"euler", 32, 2.0, 0.05},
                             {"ddim", 32, 2.0, 0.05},
                             {"heun", 32, 4.0, 0.15},
                             {"dpm2", 64, 4.0, 0.25},
                             {"dpmpp_2s_a", 64, 4.0, 0.25},
                             {"dpmpp_2m", 64, 4.0, 0.25},
                             {"res_multistep", 64, 4.0, 0.25},
                             {"dpmpp_2m_sde", 64, 4.0, 0.25}}) {
    CHECK(rc::check(order.name, [&order] {
      const Sampler& sampler = find_sampler(order.name);
      const double mu = between(-2.0, 2.0), c = between(0.3, 3.0);
      const double start = mu + between(1.0, 20.0);
      const double coarse = error_of(sampler, order.steps, mu, c, start);
      const double fine = error_of(sampler, 2 * order.steps, mu, c, start);
      RC_ASSERT(fine > 1e-9);
      RC_ASSERT(std::abs(coarse / fine - order.ratio) < order.tolerance);
    }));
  }
}

TEST_CASE("every sampler is exact in one step when the data is a single point") {
  CHECK(rc::check([] {
    const Sampler& sampler = *rc::gen::elementOf(samplers());
    const double mu = between(-2.0, 2.0);
    const at::Tensor x = at::full({1, 1, 1, 1}, between(-9.0, 9.0), at::kDouble);
    const Latents end =
        sampler.sample(gaussian(mu, 0.0), x, {between(0.5, 20.0), 0.0}, step_noise({1}, x), {});
    RC_ASSERT(std::abs(end.one().item<double>() - mu) < 1e-12);
  }));
}

// Variance of Euler ancestral's result on N(mu, c^2). The chain is affine, x <- ((1 - r) k + r) x +
// up n, so its variance has a closed recursion.
double ancestral_variance(const SigmaList& sigmas, double c) {
  double variance = c * c + sigmas.front() * sigmas.front();
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double s2 = sigmas[i] * sigmas[i], n2 = sigmas[i + 1] * sigmas[i + 1];
    const double k = c * c / (c * c + s2), r = n2 / s2;
    variance = std::pow((1.0 - r) * k + r, 2) * variance + n2 * (1.0 - n2 / s2);
  }
  return variance;
}

TEST_CASE("Euler ancestral gives a Gaussian its own mean and variance") {
  constexpr int64_t kSide = 128, kImages = 8;
  constexpr double kMu = 0.7, kC = 0.5, kSamples = kSide * kSide * kImages;
  const SigmaList sigmas = karras_sigmas(100, 0.002, 20.0);
  std::vector<uint64_t> seeds;
  for (uint64_t i = 0; i < kImages; ++i) seeds.push_back(100 + i);
  const at::Tensor noise = image_noise(seeds, {1, kSide, kSide}).to(at::kDouble);
  const Latents x = kMu + noise * std::sqrt(kC * kC + sigmas.front() * sigmas.front());
  const Latents end = sample_euler_ancestral(gaussian(kMu, kC), x, sigmas, step_noise(seeds, x));
  const double mean = end.one().mean().item<double>(), variance = end.one().var().item<double>();
  // Five standard errors of the mean and of the variance.
  CHECK(std::abs(mean - kMu) < 5.0 * kC / std::sqrt(kSamples));
  CHECK(std::abs(variance / ancestral_variance(sigmas, kC) - 1.0) <
        5.0 * std::sqrt(2.0 / kSamples));
  // The recursion itself tends to the data's variance at first order in the step.
  const auto bias = [&](int64_t steps) {
    return std::abs(ancestral_variance(karras_sigmas(steps, 0.002, 20.0), kC) - kC * kC);
  };
  CHECK(std::abs(bias(400) / bias(800) - 2.0) < 0.1);
}

TEST_CASE("a tuple is sampled as its parts are") {
  CHECK(rc::check([] {
    const Sampler& sampler = *rc::gen::elementOf(samplers());
    const at::Tensor a = image_noise({1, 2}, {4, 4, 4}), b = image_noise({1, 2}, {3, 2, 6}, 1);
    const Denoiser D = gaussian(between(-1.0, 1.0), between(0.2, 2.0));
    const SigmaList sigmas = karras_sigmas(*rc::gen::inRange(1, 8), 0.05, 10.0);
    const Latents pair(std::vector<at::Tensor>{a, b});
    const NoiseSource noise = step_noise({1, 2}, pair);
    const Latents both = sampler.sample(D, pair, sigmas, noise, {});
    for (size_t space = 0; space < 2; ++space) {
      const NoiseSource its_own = [&noise, space](const NoiseDraw& draw) {
        return Latents(noise(draw)[space]);
      };
      const Latents alone = sampler.sample(D, pair[space], sigmas, its_own, {});
      RC_ASSERT(at::equal(both[space], alone.one()));
    }
  }));
}

TEST_CASE("guidance is linear in the predictions") {
  CHECK(rc::check([] {
    const RowWeights rows = row_weights(
        {.scale = between(-2, 9), .style_scales = {between(-2, 5), between(-2, 5)}}, 1.0);
    const auto count = static_cast<int64_t>(rows.rows.size());
    const at::Tensor a = at::randn({2 * count, 3, 2, 2}, at::kDouble), b = at::randn_like(a);
    const double p = between(-3, 3), q = between(-3, 3);
    const at::Tensor joint = combine_rows(a * p + b * q, rows, 0.0);
    const at::Tensor apart = combine_rows(a, rows, 0.0) * p + combine_rows(b, rows, 0.0) * q;
    RC_ASSERT((joint - apart).abs().max().item<double>() < 1e-11);
    double sum = 0.0;
    for (double weight : rows.weights) sum += weight;
    RC_ASSERT(std::abs(sum - 1.0) < 1e-12);
  }));
}

// A net with a different prediction in every row; row r of picture b depends on picture b alone.
at::Tensor rows_net(const at::Tensor& x_net, const NetLevel& level, const std::vector<int>& rows) {
  std::vector<at::Tensor> blocks;
  for (int row : rows)
    blocks.push_back(at::clamp(x_net * (1.0 + row) + level.t_index * 1e-3, -1.0, 1.0));
  return at::cat(blocks);
}

TEST_CASE("guidance of scale one is the conditional denoiser bit for bit") {
  CHECK(rc::check([] {
    const Schedule schedule;
    const auto kind = *rc::gen::element(Parameterisation::kEps, Parameterisation::kV,
                                        Parameterisation::kX0, Parameterisation::kFlow);
    const Net conditional = [](const at::Tensor& x, double t) {
      return rows_net(x, {0.0, t}, {kCondRow});
    };
    const double sigma = between(0.03, 14.0);
    const at::Tensor x = at::randn({2, 3, 4, 4}) * sigma;
    const Guidance guidance = {.scale = 1.0, .style_scales = {0.0}, .rescale = between(0.0, 1.0)};
    RC_ASSERT(at::equal(guide(rows_net, kind, schedule, guidance)(x, sigma).one(),
                        denoise_with(conditional, kind, schedule)(x, sigma).one()));
  }));
}

TEST_CASE("guiding raw predictions is guiding x0, in every parameterisation") {
  CHECK(rc::check([] {
    const Schedule schedule;
    const auto kind = *rc::gen::element(Parameterisation::kEps, Parameterisation::kV,
                                        Parameterisation::kX0, Parameterisation::kFlow);
    const double sigma = between(0.03, 14.0), scale = between(0.0, 9.0), style = between(-2.0, 4.0);
    const at::Tensor x = at::randn({2, 3, 4, 4}, at::kDouble) * sigma;
    const auto x0_of_row = [&](int row) {
      const Net net = [row](const at::Tensor& x_net, double t) {
        return rows_net(x_net, {0.0, t}, {row});
      };
      return denoise_with(net, kind, schedule)(x, sigma).one();
    };
    const at::Tensor uncond = x0_of_row(0), cond = x0_of_row(1);
    const at::Tensor golden = uncond + scale * (cond - uncond) + style * (x0_of_row(2) - cond);
    const Guidance guidance = {.scale = scale, .style_scales = {style}};
    const at::Tensor x0 = guide(rows_net, kind, schedule, guidance)(x, sigma).one();
    RC_ASSERT((x0 - golden).abs().max().item<double>() < 1e-9 * (1.0 + sigma * sigma));
  }));
}

TEST_CASE("each expert sees only its range, and a boundary belongs to the noisier one") {
  CHECK(rc::check([] {
    const double upper = between(2.0, 9.0), lower = between(0.2, 2.0);
    std::vector<std::vector<double>> received(3);
    std::vector<Denoiser> experts;
    for (size_t i = 0; i < 3; ++i) {
      experts.push_back([&received, i](const Latents& x, double sigma) {
        received[i].push_back(sigma);
        return x;
      });
    }
    const Denoiser D = route_by_sigma(experts, {upper, lower});
    const at::Tensor x = at::zeros({1, 1, 1, 1});
    for (double sigma : {upper, lower, std::nextafter(upper, 0.0), std::nextafter(lower, 0.0)}) {
      D(x, sigma);
    }
    sample_heun(D, x, karras_sigmas(*rc::gen::inRange(2, 30), 0.05, 14.0));
    for (double sigma : received[0]) RC_ASSERT(sigma >= upper);
    for (double sigma : received[1]) RC_ASSERT(lower <= sigma && sigma < upper);
    for (double sigma : received[2]) RC_ASSERT(sigma < lower);
    RC_ASSERT(received[0].front() == upper);
    RC_ASSERT(received[1].front() == lower);
  }));
}

TEST_CASE("routing between copies of one expert changes nothing") {
  const Denoiser D = gaussian(0.3, 0.8);
  const at::Tensor x = image_noise({5}, {4, 8, 8}) * 10.0;
  const SigmaList sigmas = karras_sigmas(12, 0.05, 10.0);
  for (const Sampler& sampler : samplers()) {
    const NoiseSource noise = step_noise({5}, x);
    CHECK(at::equal(sampler.sample(route_by_sigma({D, D}, {1.7}), x, sigmas, noise, {}).one(),
                    sampler.sample(D, x, sigmas, noise, {}).one()));
  }
}

TEST_CASE("the same seed gives the same image at any batch size and in any place of the batch") {
  const Schedule schedule;
  const SigmaList sigmas = make_sigmas("karras", schedule, 6);
  const auto draw = [&](const Sampler& sampler, const std::vector<uint64_t>& seeds) {
    const Latents x = image_noise(seeds, {4, 8, 8}) * sigmas.front();
    const Denoiser D = guide(rows_net, Parameterisation::kEps, schedule,
                             {.scale = 5.0, .style_scales = {2.0}, .rescale = 0.7});
    return sampler.sample(D, x, sigmas, step_noise(seeds, x), {}).one();
  };
  CHECK(rc::check([&] {
    const Sampler& sampler = *rc::gen::elementOf(samplers());
    const auto seeds =
        *rc::gen::nonEmpty(rc::gen::resize(6, rc::gen::arbitrary<std::vector<uint64_t>>()));
    const at::Tensor together = draw(sampler, seeds);
    for (size_t i = 0; i < seeds.size(); ++i) {
      const at::Tensor alone = draw(sampler, {seeds[i]});
      RC_ASSERT(at::equal(together[static_cast<int64_t>(i)], alone[0]));
      RC_ASSERT(at::equal(image_noise(seeds, {4, 8, 8})[static_cast<int64_t>(i)],
                          image_noise({seeds[i]}, {4, 8, 8})[0]));
    }
  }));
}

TEST_CASE("every parameterisation gives back the x0 and eps that it was made of") {
  CHECK(rc::check([] {
    ScheduleConfig config;
    config.beta_schedule = *rc::gen::element(BetaSchedule::kLinear, BetaSchedule::kScaledLinear,
                                             BetaSchedule::kSquaredCosine, BetaSchedule::kFlow);
    const Schedule schedule(config);
    const auto kind = *rc::gen::element(Parameterisation::kEps, Parameterisation::kV,
                                        Parameterisation::kX0, Parameterisation::kFlow);
    const int64_t t = *rc::gen::inRange(1, 990);
    const Coefficients c = schedule.coefficients_at(t);
    const at::Tensor x0 = at::randn({1, 4, 3, 3}, at::kDouble), eps = at::randn_like(x0);
    const at::Tensor x_net = x0 * c.signal + eps * c.noise;
    const at::Tensor prediction = prediction_from(kind, x0, eps, c);
    RC_ASSERT((x0_from(kind, prediction, x_net, c) - x0).abs().max().item<double>() < 1e-9);
    RC_ASSERT((eps_from(kind, prediction, x_net, c) - eps).abs().max().item<double>() < 1e-9);
    // The same must hold through a denoiser, whose input is in the VE scale.
    const double sigma = schedule.sigma_of_t(static_cast<double>(t));
    const Net perfect = [&](const at::Tensor& given, double t_index) {
      RC_ASSERT((given - x_net).abs().max().item<double>() < 1e-9);
      RC_ASSERT(std::abs(t_index - static_cast<double>(t)) < 1e-9);
      return prediction;
    };
    const Denoiser D = denoise_with(perfect, kind, schedule);
    RC_ASSERT((D(x0 + eps * sigma, sigma).one() - x0).abs().max().item<double>() < 1e-9);
    // The functions of training must agree with both.
    const at::Tensor t_index = at::full({1}, t, at::kLong);
    RC_ASSERT((noisy_input(x0, t_index, eps, schedule) - x_net).abs().max().item<double>() < 1e-12);
    RC_ASSERT((target(x0, t_index, eps, schedule, kind) - prediction).abs().max().item<double>() <
              1e-12);
  }));
}

TEST_CASE("an Euler step of a flow in the VE scale is the flow's own Euler step") {
  CHECK(rc::check([] {
    ScheduleConfig config;
    config.beta_schedule = BetaSchedule::kFlow;
    const Schedule flow(config);
    const double s = between(0.1, 0.99), next = s * between(0.05, 0.95);
    const double sigma = s / (1.0 - s), sigma_next = next / (1.0 - next);
    const at::Tensor x_s = at::randn({1, 4, 3, 3}, at::kDouble);
    const Net net = [](const at::Tensor& x, double t) { return at::sin(x * 2.0) + t * 1e-3; };
    const at::Tensor own_step = x_s + (next - s) * net(x_s, s * 1000.0);
    const Denoiser D = denoise_with(net, Parameterisation::kFlow, flow);
    const at::Tensor ve = sample_euler(D, x_s / (1.0 - s), {sigma, sigma_next}).one();
    RC_ASSERT((ve * (1.0 - next) - own_step).abs().max().item<double>() < 1e-10);
  }));
}

}  // namespace
}  // namespace pangu::diffusion
