// Orders of the multistep samplers, by the definition of an order: a step is exact where the
// quantity that the sampler interpolates is a polynomial of that degree. It also tests the
// statistics of the stochastic samplers on Gaussian data. All tests are in f64.
#include "diffusion/samplers/samplers.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>

#include "diffusion/image_noise.h"

namespace pangu::diffusion {
namespace {

double between(double low, double high) {
  return low + (high - low) * (*rc::gen::inRange(0, 10001)) / 10000.0;
}

double value_at(const std::vector<double>& polynomial, double at) {
  double value = 0.0;
  for (size_t i = polynomial.size(); i-- > 0;) value = value * at + polynomial[i];
  return value;
}

std::vector<double> polynomial_of_degree(int degree) {
  std::vector<double> polynomial;
  for (int i = 0; i <= degree; ++i) polynomial.push_back(between(-2.0, 2.0));
  return polynomial;
}

// Unequal steps from about 10 to about 0.1.
SigmaList uneven_grid() {
  SigmaList sigmas = {10.0};
  while (sigmas.back() > 0.1) sigmas.push_back(sigmas.back() * between(0.55, 0.9));
  return sigmas;
}

// The latents after every step, beginning with the start; they are one number.
std::vector<double> path_of(const char* name, const Denoiser& D, const SigmaList& sigmas,
                            const SamplerOptions& options) {
  std::vector<double> path = {between(-9.0, 9.0)};
  const at::Tensor x = at::full({1, 1, 1, 1}, path[0], at::kDouble);
  const NoiseSource silent = [&x](const NoiseDraw&) { return Latents(x * 0.0); };
  find_sampler(name).sample(
      D, x, sigmas, silent,
      [&path](const StepInfo& info) {
        path.push_back(info.x.one().item<double>());
        return true;
      },
      options);
  return path;
}

TEST_CASE("lms of order n integrates slopes that are polynomials of degree n - 1 in sigma") {
  CHECK(rc::check([] {
    const int order = *rc::gen::inRange(1, 5);
    const auto slope = polynomial_of_degree(order - 1);
    std::vector<double> integral = {0.0};
    for (size_t i = 0; i < slope.size(); ++i) {
      integral.push_back(slope[i] / static_cast<double>(i + 1));
    }
    const Denoiser D = [&slope](const Latents& x, double sigma) {
      return Latents(x.one() - sigma * value_at(slope, sigma));
    };
    const SigmaList sigmas = uneven_grid();
    const auto path = path_of("lms", D, sigmas, {.order = order});
    for (size_t i = order - 1; i + 1 < sigmas.size(); ++i) {
      const double exact = value_at(integral, sigmas[i + 1]) - value_at(integral, sigmas[i]);
      RC_ASSERT(std::abs(path[i + 1] - path[i] - exact) < 1e-8 * (1.0 + std::abs(path[i])));
    }
  }));
}

// The solution at `next` of dx/dlambda = rate (q(lambda) - x), lambda = -log(sigma), from x at
// sigma: x - p decays, where p = q - p'/rate is the polynomial that solves the equation itself.
double exact_step(std::vector<double> q, double rate, double x, double sigma, double next) {
  std::vector<double> particular(q.size());
  for (size_t i = q.size(); i-- > 0;) {
    const double above = i + 1 < q.size() ? particular[i + 1] * static_cast<double>(i + 1) : 0.0;
    particular[i] = q[i] - above / rate;
  }
  const double from = -std::log(sigma), to = -std::log(next);
  return value_at(particular, to) +
         std::exp(-rate * (to - from)) * (x - value_at(particular, from));
}

TEST_CASE(
    "unipc, res_multistep and dpmpp_3m_sde are exact where x0 is a polynomial in log sigma of "
    "their degree") {
  struct Case {
    const char* name;
    int order;  // 0: the sampler has no such option
    int degree;
    double eta;
    size_t first;  // the first step that has the full order
  };
  // unipc's simplified second order is only exact to degree 0 in its predictor; for dpmpp_3m_sde
  // see samplers.h.
  for (const Case& c : {Case{"unipc", 3, 2, 0.0, 2},
                        {"unipc", 2, 0, 0.0, 0},
                        {"unipc", 1, 0, 0.0, 0},
                        {"res_multistep", 0, 1, 0.0, 1},
                        {"dpmpp_3m_sde", 0, 1, 0.0, 1},
                        {"dpmpp_3m_sde", 0, 1, 1.0, 1},
                        {"dpmpp_3m_sde", 0, 1, 0.4, 1}}) {
    CHECK(rc::check(c.name, [&c] {
      const auto q = polynomial_of_degree(c.degree);
      const Denoiser D = [&q](const Latents& x, double sigma) {
        return Latents(at::full_like(x.one(), value_at(q, -std::log(sigma))));
      };
      const SigmaList sigmas = uneven_grid();
      SamplerOptions options{.eta = c.eta};
      if (c.order > 0) options.order = c.order;
      const auto path = path_of(c.name, D, sigmas, options);
      for (size_t i = c.first; i + 1 < sigmas.size(); ++i) {
        // unipc corrects the results of its first steps later.
        if (c.order == 3 && i < 4) continue;
        const double exact = exact_step(q, 1.0 + c.eta, path[i], sigmas[i], sigmas[i + 1]);
        RC_ASSERT(std::abs(path[i + 1] - exact) < 1e-9 * (1.0 + std::abs(path[i])));
      }
    }));
  }
}

TEST_CASE("unipc converges one order above its predictor") {
  // x0 ~ N(0, 1/4), as in diffusion_test.cpp.
  const Denoiser D = [](const Latents& x, double sigma) {
    return x * (0.25 / (0.25 + sigma * sigma));
  };
  const auto error = [&D](int order, int64_t steps) {
    SigmaList sigmas = karras_sigmas(steps + 1, 0.1, 10.0);
    sigmas.pop_back();
    const at::Tensor x = at::full({1, 1, 1, 1}, 10.0, at::kDouble);
    const double exact = 10.0 * std::sqrt((0.25 + 0.01) / (0.25 + 100.0));
    const Latents end = sample_unipc(D, x, sigmas, {}, {}, {.order = order});
    return std::abs(end.one().item<double>() - exact);
  };
  CHECK(std::abs(error(1, 256) / error(1, 512) - 4.0) < 0.4);
  CHECK(std::abs(error(2, 256) / error(2, 512) - 8.0) < 1.6);
  CHECK(error(3, 256) / error(3, 512) > 7.0);
}

TEST_CASE("stochastic samplers give Gaussian data its own mean and variance") {
  constexpr int64_t kSide = 128, kImages = 8;
  constexpr double kMu = 0.7, kC = 0.5, kSamples = kSide * kSide * kImages;
  const Denoiser D = [](const Latents& x, double sigma) {
    const double c2 = kC * kC, s2 = sigma * sigma;
    return Latents((x.one() * c2 + s2 * kMu) / (c2 + s2));
  };
  const SigmaList sigmas = karras_sigmas(100, 0.01, 20.0);
  std::vector<uint64_t> seeds;
  for (uint64_t i = 0; i < kImages; ++i) seeds.push_back(100 + i);
  const at::Tensor noise = image_noise(seeds, {1, kSide, kSide}).to(at::kDouble);
  const Latents x = kMu + noise * std::sqrt(kC * kC + sigmas.front() * sigmas.front());
  for (const Sampler& sampler : samplers()) {
    if (!sampler.needs_noise || sampler.name == "lcm") continue;
    for (const double eta : {0.5, 1.0}) {
      CAPTURE(sampler.name);
      CAPTURE(eta);
      const Latents end = sampler.sample(D, x, sigmas, step_noise(seeds, x), {}, {.eta = eta});
      const double mean = end.one().mean().item<double>();
      const double variance = end.one().var().item<double>();
      CHECK(std::abs(mean - kMu) < 5.0 * kC / std::sqrt(kSamples));
      // The bound is five standard errors, 0.02, and the bias of 100 steps, which is 0.05 for
      // first-order samplers.
      const bool first_order = sampler.name == "euler_a" || sampler.name == "ddpm";
      CHECK(std::abs(variance / (kC * kC) - 1.0) <
            5.0 * std::sqrt(2.0 / kSamples) + (first_order ? 0.1 : 0.01));
    }
  }
}

// Mean and deviation of a sampler's result on N(mu, c^2), given the exact denoiser.
struct Moments {
  double mean, deviation;
};

// Every step is affine in the latent and in the noise, so the moments are exact numbers: one latent
// begins at the mean, the next one standard deviation away from it, and each further one at the
// mean with a single draw of noise.
Moments moments_of(const Sampler& sampler, const SigmaList& sigmas, PathVariable variable,
                   double mu, double c) {
  const auto draws = static_cast<int64_t>(2 * sigmas.size());
  at::Tensor x = at::full({1, 1, 1, 2 + draws}, mu, at::kDouble);
  x.select(3, 1) += std::hypot(c, sigmas.front());
  const Denoiser posterior_mean = [&](const Latents& noisy, double sigma) {
    return Latents((noisy.one() - mu) * (c * c / (c * c + sigma * sigma)) + mu);
  };
  const Denoiser end_of_path = [&](const Latents& noisy, double sigma) {
    return Latents((noisy.one() - mu) * (c / std::hypot(c, sigma)) + mu);
  };
  int64_t draw = 0;
  const NoiseSource one_hot = [&](const NoiseDraw&) {
    at::Tensor noise = at::zeros_like(x);
    noise.select(3, 2 + draw++) += 1.0;
    return Latents(noise);
  };
  const at::Tensor end = sampler
                             .sample(sampler.consistency ? end_of_path : posterior_mean, x, sigmas,
                                     one_hot, {}, {.variable = variable})
                             .one()
                             .flatten();
  const double mean = end[0].item<double>();
  return {mean, (end - mean).norm().item<double>()};
}

struct NamedSchedule {
  const char* name;
  Schedule schedule;
};

std::vector<NamedSchedule> all_schedules() {
  ScheduleConfig linear, cosine, zero_snr, flow, shifted;
  linear.beta_schedule = BetaSchedule::kLinear;
  linear.beta_start = 1e-4;
  linear.beta_end = 0.02;
  cosine.beta_schedule = BetaSchedule::kSquaredCosine;
  zero_snr.rescale_betas_zero_snr = true;
  flow.beta_schedule = shifted.beta_schedule = BetaSchedule::kFlow;
  shifted.flow_shift = 3.0;
  return {{"scaled_linear", Schedule()}, {"linear", Schedule(linear)},
          {"cosine", Schedule(cosine)},  {"zero_snr", Schedule(zero_snr)},
          {"flow", Schedule(flow)},      {"flow, shift 3", Schedule(shifted)}};
}

// The greatest factor by which a step in log(sigma) is longer than the one before. The step to 0 is
// left out, since its length is infinite.
double growth_of(const SigmaList& sigmas) {
  double growth = 0.0, before = std::log(sigmas[0] / sigmas[1]);
  for (size_t i = 1; i + 1 < sigmas.size() && sigmas[i + 1] > 0.0; ++i) {
    const double length = std::log(sigmas[i] / sigmas[i + 1]);
    growth = std::max(growth, length / before);
    before = length;
  }
  return growth;
}

// The factor by which a sampler's error may exceed that of first order on a list of this growth. It
// is 1 for most. A sampler that extrapolates from earlier steps goes too far where a step is longer
// than those, once for every difference that it takes. dpm2_a steps down twice as far as the list
// says.
double allowance(const std::string& name, double growth) {
  const auto is = [&](std::initializer_list<const char*> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (is({"dpmpp_2m", "res_multistep", "unipc", "dpmpp_2m_sde"})) return 1.0 + growth;
  if (is({"dpmpp_3m_sde"})) return std::pow(1.0 + growth, 2);
  if (is({"dpm2_a"})) return 2.0;
  return 1.0;
}

TEST_CASE("every sampler keeps mean and deviation of a Gaussian on every list of every schedule") {
  constexpr double kMu = 0.7, kRounding = 1e-9;
  for (const auto& [schedule_name, schedule] : all_schedules()) {
    for (const SigmaRule& rule : sigma_rules()) {
      for (const int64_t steps : {8, 20, 40}) {
        const SigmaList sigmas = make_sigmas(rule.name, schedule, steps);
        const auto error_of = [&](const Sampler& sampler) {
          const Moments m = moments_of(sampler, sigmas, schedule.path_variable(), kMu, 1.0);
          // Every step preserves the mean. The bound grows with the start, which may be thousands
          // of times as wide.
          CHECK(std::abs(m.mean - kMu) < kRounding * (1.0 + sigmas.front()));
          return std::abs(m.deviation - 1.0);
        };
        const double euler = error_of(find_sampler("euler"));
        const double first_order = std::max(euler, error_of(find_sampler("euler_a")));
        for (const Sampler& sampler : samplers()) {
          CAPTURE(schedule_name);
          CAPTURE(rule.name);
          CAPTURE(steps);
          CAPTURE(sampler.name);
          const double error = error_of(sampler);
          CHECK(error <= first_order * allowance(sampler.name, growth_of(sigmas)) + kRounding);
          // On the schedule's own list a higher order must reduce the error.
          const bool adds_slopes =
              sampler.name == "heun" || sampler.name == "dpm2" || sampler.name == "lms";
          if (rule.of_timesteps && steps >= 20 && adds_slopes) CHECK(error < euler / 4.0);
        }
      }
    }
  }
}

TEST_CASE("levels that are off by last bits give the same picture to rounding") {
  const Denoiser D = [](const Latents& x, double sigma) {
    return Latents(at::tanh(x.one() / (1.0 + sigma)));
  };
  const SigmaList sigmas = karras_sigmas(10, 0.03, 14.0);
  const at::Tensor x = image_noise({4}, {4, 8, 8}).to(at::kDouble) * 14.0;
  for (const Sampler& sampler : samplers()) {
    CAPTURE(sampler.name);
    const at::Tensor drawn = sampler.sample(D, x, sigmas, step_noise({4}, x), {}).one();
    for (const double towards : {0.0, 1e9}) {
      SigmaList off = sigmas;
      for (size_t i = 0; i + 1 < off.size(); ++i) off[i] = std::nextafter(off[i], towards);
      const at::Tensor other = sampler.sample(D, x, off, step_noise({4}, x), {}).one();
      // The difference is rounding of 2e-16, which each of ten steps may multiply by up to ten.
      CHECK((other - drawn).abs().max().item<double>() < 1e-12);
    }
  }
}

TEST_CASE("a list cut in two pieces is sampled as the whole by samplers without a memory") {
  CHECK(rc::check([] {
    const Denoiser D = [](const Latents& x, double sigma) {
      return Latents(at::tanh(x.one() / (1.0 + sigma)));
    };
    const SigmaList sigmas = karras_sigmas(10, 0.03, 14.0);
    const auto cut = *rc::gen::inRange<std::ptrdiff_t>(1, 10);
    const SigmaList high(sigmas.begin(), sigmas.begin() + cut + 1);
    const SigmaList low(sigmas.begin() + cut, sigmas.end());
    const Sampler& sampler =
        find_sampler(*rc::gen::element("euler", "euler_a", "heun", "dpm2", "dpm2_a", "dpmpp_2s_a",
                                       "dpmpp_sde", "ddim", "ddpm", "lcm"));
    const at::Tensor x = image_noise({4}, {4, 8, 8}) * 14.0;
    const NoiseSource noise = step_noise({4}, x);
    const NoiseSource goes_on = step_noise({4}, x, {.first_step = static_cast<size_t>(cut)});
    const Latents half = sampler.sample(D, x, high, noise, {});
    RC_ASSERT(at::equal(sampler.sample(D, half, low, goes_on, {}).one(),
                        sampler.sample(D, x, sigmas, noise, {}).one()));
  }));
}

}  // namespace
}  // namespace pangu::diffusion
