// What all samplers promise: the contract of samplers.h, and of the latents and noise they move.
#include "diffusion/samplers.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include "core/error.h"
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
                       doctest::Contains("one of euler, euler_a, heun, dpmpp_2m"), Error);
  const at::Tensor x = at::randn({2, 3, 4, 4});
  for (const Sampler& sampler : samplers()) {
    CAPTURE(sampler.name);
    CHECK((find_sampler(sampler.name).sample == sampler.sample));
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

TEST_CASE("the last step of every sampler ends on the denoiser's last guess") {
  const at::Tensor x = at::randn({2, 3, 4, 4}) * 10.0;
  for (const Sampler& sampler : samplers()) {
    CAPTURE(sampler.name);
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
    std::vector<size_t> seen;
    at::Tensor second;
    const Latents end =
        sampler.sample(toward_half, x, kSigmas, noise_like(x), [&](const StepInfo& info) {
          CHECK(info.step_count == 4);
          CHECK(info.sigma == kSigmas[info.step]);
          CHECK(info.sigma_next == kSigmas[info.step + 1]);
          seen.push_back(info.step);
          second = info.x.one();
          return info.step < 1;
        });
    CHECK(seen == std::vector<size_t>{0, 1});
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
  const at::Tensor step = image_step_noise({7}, {4, 64, 64}, 2.0, 1.0);
  CHECK(correlation(step) < 0.039);
  for (const at::Tensor& other :
       {image_step_noise({7}, {4, 64, 64}, 2.0, 0.5), image_step_noise({7}, {4, 64, 64}, 3.0, 1.0),
        image_step_noise({7}, {4, 64, 64}, 2.0, 1.0, 1)}) {
    CHECK(std::abs((step * other).mean().item<double>()) < 0.039);
  }
  CHECK(at::equal(step, image_step_noise({7}, {4, 64, 64}, 2.0, 1.0)));
}

TEST_CASE("step noise takes shape and dtype from the latents and refuses another batch") {
  const Latents like(
      std::vector<at::Tensor>{at::zeros({2, 4, 8, 8}), at::zeros({2, 3, 2, 2}, at::kDouble)});
  const Latents noise = step_noise({1, 2}, like)(2.0, 1.0);
  REQUIRE(noise.size() == 2);
  CHECK(noise[0].sizes() == like[0].sizes());
  CHECK(noise[1].sizes() == like[1].sizes());
  CHECK((noise[1].scalar_type() == at::kDouble));
  CHECK_THROWS_AS(step_noise({1}, like), Error);
}

}  // namespace
}  // namespace pangu::diffusion
