// Tests the contract that all samplers share (samplers.h), and that of latents and noise.
#include "diffusion/samplers/samplers.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <cmath>

#include "core/error.h"
#include "diffusion/consistency.h"
#include "diffusion/image_noise.h"

namespace pangu::diffusion {
namespace {

const SigmaList kSigmas = {10.0, 4.0, 1.0, 0.3, 0.0};

Latents toward_half(const Latents& x, double sigma) { return x.one() / (1.0 + sigma) * 0.5; }

NoiseSource noise_like(const at::Tensor& x) {
  std::vector<uint64_t> seeds(x.size(0));
  for (size_t i = 0; i < seeds.size(); ++i) seeds[i] = i;
  return step_noise(seeds, x);
}

TEST_CASE("every sampler is found by its name and calls D as often as it says, never at zero") {
  CHECK_THROWS_WITH_AS(find_sampler("eular"),
                       doctest::Contains("one of euler, heun, dpm2, euler_a"), Error);
  const at::Tensor x = at::randn({2, 3, 4, 4});
  for (const Sampler& sampler : samplers()) {
    CAPTURE(sampler.name);
    CHECK((find_sampler(sampler.name).run == sampler.run));
    int calls = 0;
    double lowest = 1e9;
    const Denoiser counted = [&](const Latents& noisy, double sigma) {
      ++calls;
      lowest = std::min(lowest, sigma);
      return toward_half(noisy, sigma);
    };
    sampler.sample(counted, x, kSigmas, noise_like(x), {});
    CHECK(calls == 4 * sampler.calls_per_step - (sampler.calls_per_step - 1));
    CHECK(lowest == 0.3);
  }
}

TEST_CASE("the last step of every sampler but lms ends on the denoiser's last guess") {
  const at::Tensor x = at::randn({2, 3, 4, 4}) * 10.0;
  for (const Sampler& sampler : samplers()) {
    CAPTURE(sampler.name);
    if (sampler.name == "lms") continue;  // its polynomial is integrated to 0 as well
    Latents last;
    const Latents end =
        sampler.sample(toward_half, x, kSigmas, noise_like(x), [&last](const StepInfo& info) {
          last = info.x0;
          return true;
        });
    CHECK(at::equal(end.one(), last.one()));
  }
}

TEST_CASE("on_step sees every step and can stop, which leaves the latents of that step") {
  const at::Tensor x = at::randn({1, 3, 4, 4});
  for (const Sampler& sampler : samplers()) {
    CAPTURE(sampler.name);
    std::vector<size_t> reported;
    at::Tensor second;
    const Latents end =
        sampler.sample(toward_half, x, kSigmas, noise_like(x), [&](const StepInfo& info) {
          CHECK(info.step_count == 4);
          CHECK(info.sigma == kSigmas[info.step]);
          CHECK(info.sigma_next == kSigmas[info.step + 1]);
          reported.push_back(info.step);
          second = info.x.one();
          return info.step < 1;
        });
    CHECK(reported == std::vector<size_t>{0, 1});
    CHECK(at::equal(end.one(), second));
  }
}

TEST_CASE("the caller's latents are not written to and a second call gives the same bits") {
  const at::Tensor x = at::randn({2, 3, 4, 4}), before = x.clone();
  for (const Sampler& sampler : samplers()) {
    CAPTURE(sampler.name);
    const Latents first = sampler.sample(toward_half, x, kSigmas, noise_like(x), {});
    const Latents again = sampler.sample(toward_half, x, kSigmas, noise_like(x), {});
    CHECK(at::equal(x, before));
    CHECK(at::equal(first.one(), again.one()));
  }
}

TEST_CASE("lists that do not fall, and a missing noise source, are errors") {
  const at::Tensor x = at::randn({1, 3, 4, 4});
  for (const Sampler& sampler : samplers()) {
    CAPTURE(sampler.name);
    for (const SigmaList& bad : {SigmaList{}, {1.0}, {1.0, 1.0}, {1.0, 2.0, 0.0}, {1.0, -0.5}}) {
      CHECK_THROWS_AS(sampler.sample(toward_half, x, bad, noise_like(x), {}), Error);
    }
    if (sampler.needs_noise) {
      CHECK_THROWS_AS(sampler.sample(toward_half, x, kSigmas, {}, {}), Error);
    }
  }
}

TEST_CASE("without noise, the stochastic samplers are the deterministic ones they are made of") {
  const at::Tensor x = at::randn({2, 3, 4, 4}, at::kDouble) * 10.0;
  const auto end_of = [&x](const char* name, const SamplerOptions& options) {
    return find_sampler(name).sample(toward_half, x, kSigmas, noise_like(x), {}, options).one();
  };
  const SamplerOptions none{.eta = 0.0};
  CHECK(at::equal(end_of("euler_a", none), end_of("euler", {})));
  CHECK(at::equal(end_of("ddim", {}), end_of("euler", {})));
  CHECK(at::equal(end_of("ddpm", {}), end_of("euler_a", {})));
  CHECK(at::equal(end_of("ddim", {.eta = 1.0}), end_of("euler_a", {})));
  CHECK(at::equal(end_of("dpm2_a", none), end_of("dpm2", {})));
  CHECK(at::allclose(end_of("dpmpp_2m_sde", none), end_of("dpmpp_2m", {}), 1e-12, 1e-12));
  CHECK(at::equal(end_of("dpmpp_2s_a", none), end_of("dpmpp_sde", none)));
  for (const Sampler& sampler : samplers()) {
    CAPTURE(sampler.name);
    if (sampler.name == "lcm") continue;
    // No noise source is needed then.
    CHECK_NOTHROW(sampler.sample(toward_half, x, kSigmas, {}, {}, none));
    const at::Tensor silent =
        sampler.sample(toward_half, x, kSigmas, noise_like(x), {}, {.s_noise = 0.0}).one();
    if (sampler.needs_noise) CHECK_FALSE(at::equal(silent, end_of(sampler.name.c_str(), {})));
  }
}

TEST_CASE("the two halves of a step of dpmpp_sde add up to noise of variance one") {
  const at::Tensor x = at::zeros({1, 1, 1, 1}, at::kDouble);
  const Denoiser to_zero = [](const Latents& noisy, double) { return noisy * 0.0; };
  std::vector<std::pair<size_t, int>> draws;
  std::vector<double> gains;
  for (size_t half = 0; half < 2; ++half) {
    draws.clear();
    const NoiseSource one_of_two = [&](const NoiseDraw& draw) {
      draws.emplace_back(draw.step, draw.part);
      return Latents(at::full({1, 1, 1, 1}, draws.size() - 1 == half ? 1.0 : 0.0, at::kDouble));
    };
    gains.push_back(sample_dpmpp_sde(to_zero, x, {4.0, 1.0}, one_of_two).one().item<double>());
  }
  REQUIRE(draws.size() == 2);
  CHECK((draws[0] == std::pair{size_t{0}, 0}));
  CHECK((draws[1] == std::pair{size_t{0}, 1}));
  const double up = std::sqrt(1.0 - 1.0 / 16.0);
  CHECK(gains[0] == doctest::Approx(up * std::sqrt(2.0 / 3.0)));
  CHECK(gains[1] == doctest::Approx(up * std::sqrt(1.0 / 3.0)));
}

TEST_CASE("options out of range are errors that say the range") {
  const at::Tensor x = at::randn({1, 3, 4, 4});
  const auto run = [&x](const char* name, const SamplerOptions& options) {
    find_sampler(name).sample(toward_half, x, kSigmas, noise_like(x), {}, options);
  };
  CHECK_THROWS_WITH_AS(run("euler_a", {.eta = -1.0}), doctest::Contains("eta"), Error);
  CHECK_THROWS_WITH_AS(run("ddim", {.s_noise = NAN}), doctest::Contains("s_noise"), Error);
  CHECK_THROWS_WITH_AS(run("lms", {.order = 5}), doctest::Contains("1 to 4"), Error);
  CHECK_THROWS_WITH_AS(run("unipc", {.order = 0}), doctest::Contains("1 to 3"), Error);
  // An eta above 1 adds at most all of the posterior's noise.
  CHECK_NOTHROW(run("dpm2_a", {.eta = 1e6}));
}

TEST_CASE("a consistency model's denoiser is bent towards its input at t 0 only") {
  const Schedule schedule;
  const Denoiser D = consistency(toward_half, schedule);
  const at::Tensor x = at::randn({1, 3, 4, 4}, at::kDouble);
  // (10 * 999)^2 against 0.5^2: out is 1 to 1e-8, skip 2.5e-9.
  const double high = schedule.sigma_max(), low = schedule.sigma_min();
  CHECK(at::allclose(D(x, high).one(), toward_half(x, high).one(), 1e-7, 1e-7));
  CHECK(at::allclose(D(x, low).one(), x * schedule.input_scale(low), 1e-12, 1e-12));
  const BoundaryScalings middle = boundary_scalings({}, 0.05);
  CHECK(middle.skip == doctest::Approx(0.5));
  CHECK(middle.out == doctest::Approx(std::sqrt(0.5)));
}

TEST_CASE("latents are added part by part and refuse another number of parts") {
  const at::Tensor a = at::ones({1, 2}), b = at::ones({1, 3});
  const Latents pair(std::vector<at::Tensor>{a, b});
  const Latents sum = pair + pair * 2.0 - 0.5 * pair;
  CHECK(at::equal(sum[0], a * 2.5));
  CHECK(at::equal(sum[1], b * 2.5));
  CHECK_THROWS_AS(pair + Latents(a), Error);
  CHECK_THROWS_AS(pair.one(), Error);
  CHECK(mix(pair, sum, 0.0)[1].is_same(b));
  CHECK(mix(pair, sum, 1.0)[0].is_same(sum[0]));
}

TEST_CASE("noise is standard normal, and another for each seed, space and step") {
  const at::Tensor noise = image_noise({7}, {4, 64, 64});
  CHECK(noise.sizes() == at::IntArrayRef{1, 4, 64, 64});
  CHECK((noise.scalar_type() == at::kFloat));
  // 16384 numbers: five standard errors are 0.039 for the mean, 0.028 for the deviation.
  CHECK(std::abs(noise.mean().item<double>()) < 0.039);
  CHECK(std::abs(noise.std().item<double>() - 1.0) < 0.028);
  const auto correlation = [&noise](const at::Tensor& other) {
    return std::abs((noise * other).mean().item<double>());
  };
  CHECK(correlation(noise) > 0.9);
  CHECK(correlation(image_noise({8}, {4, 64, 64})) < 0.039);
  CHECK(correlation(image_noise({7}, {4, 64, 64}, 1)) < 0.039);
  const std::vector<int64_t> shape = {4, 64, 64};
  const at::Tensor step = image_step_noise({7}, shape, {3});
  CHECK(correlation(step) < 0.039);
  for (const at::Tensor& other :
       {image_step_noise({7}, shape, {4}), image_step_noise({7}, shape, {3, 1}),
        image_step_noise({7}, shape, {3}, {.stage = 1}),
        image_step_noise({7}, shape, {3}, {}, 1)}) {
    CHECK(std::abs((step * other).mean().item<double>()) < 0.039);
  }
  CHECK(at::equal(step, image_step_noise({7}, shape, {3})));
  // A list that begins in the middle of the plan has the noise that the whole plan has there.
  CHECK(at::equal(step, image_step_noise({7}, shape, {1}, {.first_step = 2})));
  CHECK_THROWS_AS(image_step_noise({7}, shape, {size_t{1} << 24}), Error);
}

// torch 2.13: g = torch.Generator().manual_seed(seed); torch.randn(16, generator=g)[:4], then twice
// torch.randn(3, generator=g). For fewer than 16 numbers torch draws in another way.
TEST_CASE("torch-cpu noise is torch.randn's, draw after draw, one generator an image") {
  struct Case {
    uint64_t seed;
    std::vector<float> first, then, last;
  };
  const std::vector<Case> cases = {
      {42,
       {1.9269152879714966f, 1.4872840642929077f, 0.9007171988487244f, -2.1055209636688232f},
       {0.46165722608566284f, 0.2673508822917938f, 0.5349046587944031f},
       {0.809357225894928f, 1.110290288925171f, -1.6897989511489868f}},
      {(uint64_t{1} << 63) + 5,
       {1.8423298597335815f, 0.5188871622085571f, -1.7119213342666626f, -1.7013792991638184f},
       {0.6312134265899658f, -0.899135172367096f, -0.5577934384346008f},
       {0.6907187700271606f, 0.2224585860967636f, -0.666225254535675f}}};
  ImageNoise noise(NoiseKind::kTorchCpu, {cases[0].seed, cases[1].seed});
  const at::Tensor start = noise.next({4, 2, 2});
  const NoiseSource steps = noise.steps(at::zeros({2, 3, 1, 1}, at::kDouble));
  const at::Tensor step_1 = steps({0}).one(), step_2 = steps({0}).one();
  CHECK((step_1.scalar_type() == at::kDouble));
  for (int64_t i = 0; i < 2; ++i) {
    const Case& c = cases[static_cast<size_t>(i)];
    // The vectorised logarithm differs in its last bits from processor to processor.
    CHECK(at::allclose(start[i].flatten().slice(0, 0, 4), at::tensor(c.first), 1e-5, 1e-6));
    CHECK(at::allclose(step_1[i].flatten().to(at::kFloat), at::tensor(c.then), 1e-5, 1e-6));
    CHECK(at::allclose(step_2[i].flatten().to(at::kFloat), at::tensor(c.last), 1e-5, 1e-6));
  }
}

TEST_CASE(
    "sequential noise lives in its object: a second one starts again, a batch changes nothing") {
  for (const NoiseKind kind : {NoiseKind::kNumpy, NoiseKind::kTorchCpu, NoiseKind::kPhilox}) {
    CAPTURE(to_string(kind));
    const at::Tensor like = at::zeros({2, 4, 8, 8});
    ImageNoise both(kind, {7, 9}), alone(kind, {9});
    const at::Tensor start = both.next({4, 8, 8});
    CHECK(at::equal(start[1], alone.next({4, 8, 8})[0]));
    CHECK_FALSE(at::equal(start[0], start[1]));
    const at::Tensor step = both.steps(like)({0}).one();
    CHECK(at::equal(step[1], alone.steps(like.slice(0, 0, 1))({0}).one()[0]));
    CHECK(std::abs((step * start).mean().item<double>()) < 0.2);
    CHECK(at::equal(ImageNoise(kind, {7}).next({4, 8, 8})[0], start[0]));
    CHECK(at::equal(step, both.steps(like)({0}).one()) == (kind == NoiseKind::kPhilox));
    CHECK((noise_kind_from(to_string(kind)) == kind));
    CHECK_THROWS_AS(both.steps(at::zeros({3, 4, 8, 8})), Error);
  }
  ImageNoise philox(NoiseKind::kPhilox, {3});
  CHECK(at::equal(philox.next({4, 8, 8}), image_noise({3}, {4, 8, 8})));
  CHECK(at::equal(philox.next({4, 8, 8}), image_noise({3}, {4, 8, 8}, 1)));
  CHECK_THROWS_AS(ImageNoise(NoiseKind::kNumpy, {uint64_t{1} << 32}), Error);
  CHECK_THROWS_WITH_AS(noise_kind_from("cuda"), doctest::Contains("philox, numpy, torch-cpu"),
                       Error);
}

TEST_CASE("step noise takes shape and dtype from the latents and refuses another batch") {
  const Latents like(
      std::vector<at::Tensor>{at::zeros({2, 4, 8, 8}), at::zeros({2, 3, 2, 2}, at::kDouble)});
  const Latents noise = step_noise({1, 2}, like)({0});
  REQUIRE(noise.size() == 2);
  CHECK(noise[0].sizes() == like[0].sizes());
  CHECK(noise[1].sizes() == like[1].sizes());
  CHECK((noise[1].scalar_type() == at::kDouble));
  CHECK_THROWS_AS(step_noise({1}, like), Error);
}

}  // namespace
}  // namespace pangu::diffusion
