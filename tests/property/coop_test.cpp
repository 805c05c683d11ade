// Laws of Coop-Diffusion, with closed-form denoisers and invertible bridges: what fusing two spaces
// and crossing a resolution must and must not change. Tested with every sampler, in f64.
#include "diffusion/coop.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/testing.h"
#include "diffusion/image_noise.h"
#include "diffusion/stages.h"

namespace pangu::diffusion {
namespace {

const SigmaList kSigmas = karras_sigmas(12, 0.05, 14.0);
const std::vector<uint64_t> kSeeds = {3, 11};

// The exact denoiser of N(mean, spread^2), plus a sine so that it is not affine in x.
Denoiser denoiser(double mean, double spread) {
  return [mean, spread](const Latents& x, double sigma) {
    const double share = spread * spread / (spread * spread + sigma * sigma);
    const at::Tensor linear = x.one() * share + mean * (1 - share);
    return Latents(linear + 0.1 * at::sin(linear));
  };
}

// An invertible bridge: the space of a member is the picture times its scale, and upside down for
// members of odd number.
struct Spaces {
  std::vector<double> scales;
  at::Tensor operator()(size_t from, size_t to, const at::Tensor& x0) const {
    const at::Tensor picture = (from % 2 == 1 ? x0.flip(2) : x0) / scales[from];
    return (to % 2 == 1 ? picture.flip(2) : picture) * scales[to];
  }
};

Bridge identity() {
  return [](size_t, size_t, const at::Tensor& x0) { return x0; };
}

Latents start(const std::vector<std::vector<int64_t>>& shapes) {
  ImageNoise noise(NoiseKind::kPhilox, kSeeds);
  Latents x = noise.next_tuple(shapes) * kSigmas.front();
  for (at::Tensor& part : x.parts) part = part.to(at::kDouble);
  return x;
}

Latents drawn(const Sampler& sampler, const Denoiser& D, const Latents& x) {
  return sampler.sample(D, x, kSigmas, ImageNoise(NoiseKind::kPhilox, kSeeds).steps(x), {});
}

const std::vector<int64_t> kShape = {3, 4, 6};

std::vector<CoopMember> two(double d) {
  return {{"hub", denoiser(0.5, 0.7), WeightCurve::constant(1 - d), {}},
          {"other", denoiser(-1.0, 0.3), WeightCurve::constant(d), {}}};
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

const CoopForm kForms[] = {CoopForm::kPaper, CoopForm::kSymmetric, CoopForm::kOneWay};

TEST_CASE("coop: without weight for the others the picture is the hub's, bit for bit") {
  const Latents x = start({kShape, kShape});
  for (const Sampler& sampler : samplers()) {
    const at::Tensor alone = drawn(sampler, denoiser(0.5, 0.7), x[0]).one();
    for (const CoopForm form : kForms) {
      const Denoiser D = fuse(two(0.0), Spaces{{1.0, 2.0}}, {.form = form});
      CHECK_MESSAGE(at::equal(drawn(sampler, D, x)[0], alone), sampler.name);
    }
  }
}

TEST_CASE("coop: with all the weight the other's picture comes, through the bridge") {
  const Latents x = start({kShape, kShape});
  const Spaces spaces{{1.0, 2.0}};
  for (const Sampler& sampler : samplers()) {
    const at::Tensor alone = drawn(sampler, two(1.0)[1].denoise, x[1]).one();
    for (const CoopForm form : kForms) {
      const Latents fused = drawn(sampler, fuse(two(1.0), spaces, {.form = form}), x);
      CHECK_MESSAGE(at::equal(fused[1], alone), sampler.name);
      // The last step ends at the guess itself.
      CHECK_MESSAGE(distance(fused[0], spaces(1, 0, alone)) < 1e-12, sampler.name);
    }
  }
}

TEST_CASE("coop: two copies of one model with nothing between them are the model") {
  const Latents x = start({kShape, kShape});
  CHECK(at::equal(x[0], x[1]));  // members of equal shapes share their noise
  for (const Sampler& sampler : samplers()) {
    const at::Tensor alone = drawn(sampler, denoiser(0.5, 0.7), x[0]).one();
    for (const CoopForm form : kForms) {
      for (int i = 1; i < 10; ++i) {
        const double d = i / 10.0;
        const Denoiser D = fuse({{"a", denoiser(0.5, 0.7), WeightCurve::constant(1 - d), {}},
                                 {"b", denoiser(0.5, 0.7), WeightCurve::constant(d), {}}},
                                identity(), {.form = form});
        const Latents fused = drawn(sampler, D, x);
        CHECK_MESSAGE(distance(fused[0], alone) < 1e-9, sampler.name);
        CHECK_MESSAGE(distance(fused[1], alone) < 1e-9, sampler.name);
      }
    }
  }
}

TEST_CASE("coop: in spaces that differ by an invertible map two copies are the model") {
  const Spaces spaces{{1.0, 1.0}};
  // The same model in the other space. Members would share the numbers of their noise, so the
  // other's start is set to the hub's start, mapped.
  const Denoiser mine = denoiser(0.5, 0.7);
  const Denoiser theirs = [&](const Latents& x, double sigma) {
    return Latents(spaces(0, 1, mine(Latents(spaces(1, 0, x.one())), sigma).one()));
  };
  Latents x = start({kShape, kShape});
  x.parts[1] = spaces(0, 1, x[0]);
  const at::Tensor alone = drawn(find_sampler("heun"), mine, x[0]).one();
  for (const CoopForm form : kForms) {
    const Denoiser D = fuse({{"a", mine, WeightCurve::constant(0.3), {}},
                             {"b", theirs, WeightCurve::constant(0.7), {}}},
                            spaces, {.form = form});
    CHECK(distance(drawn(find_sampler("heun"), D, x)[0], alone) < 1e-12);
  }
}

TEST_CASE("coop: the order of the members beside the hub does not matter") {
  CHECK(rc::check([] {
    const auto weight = [] { return *rc::gen::inRange(0, 101) / 100.0 + 0.01; };
    std::vector<CoopMember> members;
    for (int k = 0; k < 4; ++k) {
      members.push_back({std::to_string(k),
                         denoiser(k - 1.5, 0.4 + 0.2 * k),
                         WeightCurve::constant(weight()),
                         {}});
    }
    const Spaces spaces{{1.0, 2.0, 0.5, 3.0}};
    const CoopForm form = kForms[*rc::gen::inRange(0, 3)];
    // Members 1 and 3 are upside down and 2 is not, so members 1 and 3 can be exchanged.
    std::vector<CoopMember> other = members;
    std::swap(other[1], other[3]);
    const Spaces other_spaces{{1.0, 3.0, 0.5, 2.0}};
    const Latents x = start({kShape, kShape, kShape, kShape});
    const auto& euler = find_sampler("euler_a");
    const at::Tensor a = drawn(euler, fuse(members, spaces, {.form = form}), x)[0];
    const at::Tensor b = drawn(euler, fuse(other, other_spaces, {.form = form}), x)[0];
    RC_ASSERT(distance(a, b) < 1e-9);
  }));
}

// A bridge between any two shapes, which cannot be inverted.
at::Tensor carried(const at::Tensor& x0, const std::vector<int64_t>& shape_chw) {
  const at::Tensor picture =
      at::adaptive_avg_pool2d(x0.mean(1, /*keepdim=*/true), {shape_chw[1], shape_chw[2]});
  return picture.expand({x0.size(0), shape_chw[0], shape_chw[1], shape_chw[2]}).contiguous();
}

TEST_CASE("coop: their order does not matter in spaces of other shapes, for no kind of noise") {
  CHECK(rc::check([] {
    struct One {
      CoopMember member;
      std::vector<int64_t> shape;
    };
    const std::vector<std::vector<int64_t>> shapes = {kShape, {3, 8, 12}, {2, 4, 6}, {5, 2, 3}};
    std::vector<One> ones;
    for (int k = 0; k < 5; ++k) {
      const auto shape = shapes[k == 0 ? 0 : *rc::gen::inRange(size_t{0}, shapes.size())];
      const double weight = *rc::gen::inRange(1, 101) / 100.0;
      const Denoiser D = denoiser(k - 1.5, 0.4 + 0.2 * k);
      ones.push_back({{std::to_string(k), D, WeightCurve::constant(weight), {}}, shape});
    }
    std::vector<One> others = ones;
    const auto moved = *rc::gen::inRange(1, 4);
    std::rotate(others.begin() + 1, others.begin() + 1 + moved, others.end());
    const CoopForm form = kForms[*rc::gen::inRange(0, 3)];
    const auto kind =
        *rc::gen::element(NoiseKind::kPhilox, NoiseKind::kNumpy, NoiseKind::kTorchCpu);
    const auto picture = [&](const std::vector<One>& order) {
      std::vector<CoopMember> members;
      std::vector<std::vector<int64_t>> of_each;
      for (const One& one : order) {
        members.push_back(one.member);
        of_each.push_back(one.shape);
      }
      const Bridge bridge = [&](size_t, size_t to, const at::Tensor& x0) {
        return carried(x0, of_each[to]);
      };
      ImageNoise noise(kind, kSeeds);
      Latents x = noise.next_tuple(of_each) * kSigmas.front();
      for (at::Tensor& part : x.parts) part = part.to(at::kDouble);
      return find_sampler("euler_a").sample(fuse(members, bridge, {.form = form}), x, kSigmas,
                                            noise.steps(x), {})[0];
    };
    RC_ASSERT(distance(picture(ones), picture(others)) < 1e-9);
  }));
}

TEST_CASE("coop: shapes of a tuple have noise of their own, equal ones the same") {
  const std::vector<int64_t> large = {4, 32, 32}, wide = {4, 32, 48}, deep = {6, 32, 32};
  const auto correlation = [](const at::Tensor& a, const at::Tensor& b) {
    const int64_t n = std::min(a.numel(), b.numel());
    return std::abs(
        (a.flatten().slice(0, 0, n) * b.flatten().slice(0, 0, n)).mean().item<double>());
  };
  for (const auto kind : {NoiseKind::kPhilox, NoiseKind::kNumpy, NoiseKind::kTorchCpu}) {
    ImageNoise one(kind, {5}), other(kind, {5}), alone(kind, {5});
    const Latents a = one.next_tuple({large, wide, deep, wide});
    const Latents b = other.next_tuple({large, deep, wide});
    CHECK(at::equal(a[0], alone.next(large)));
    CHECK(at::equal(a[1], a[3]));
    CHECK(at::equal(a[1], b[2]));
    CHECK(at::equal(a[2], b[1]));
    const Latents step_a = one.steps(a)({0}), step_b = other.steps(b)({0});
    CHECK(at::equal(step_a[1], step_a[3]));
    CHECK(at::equal(step_a[1], step_b[2]));
    CHECK(at::equal(step_a[2], step_b[1]));
    std::vector<at::Tensor> all = {a[0], a[1], a[2], step_a[0], step_a[1], step_a[2]};
    // There are at least 4096 numbers, so four standard deviations of a mean of products are
    // 0.0625.
    for (size_t i = 0; i < all.size(); ++i) {
      for (size_t j = 0; j < i; ++j) CHECK(correlation(all[i], all[j]) < 0.0625);
    }
  }
}

TEST_CASE("coop: masks part the picture between the members") {
  at::Tensor left = at::zeros({1, 1, 4, 6}, at::kDouble);
  left.slice(3, 0, 3).fill_(1.0);
  auto members = two(0.5);
  members[0].mask = left;
  members[1].mask = 1 - left;
  const Latents x = start({kShape, kShape});
  const auto& euler = find_sampler("euler");
  // Here every pixel's guess depends on that pixel alone, so each region shows the picture of its
  // member.
  const at::Tensor mine = drawn(euler, denoiser(0.5, 0.7), x[0]).one();
  const at::Tensor others = drawn(euler, two(1.0)[1].denoise, x[1]).one();
  for (const CoopForm form : kForms) {
    const at::Tensor fused = drawn(euler, fuse(members, identity(), {.form = form}), x)[0];
    CHECK(distance(fused.slice(3, 0, 3), mine.slice(3, 0, 3)) < 1e-12);
    CHECK(distance(fused.slice(3, 3, 6), others.slice(3, 3, 6)) < 1e-12);
  }
  // The masks add up to 1, so with equal models they change nothing.
  members[1].denoise = members[0].denoise;
  const at::Tensor both = drawn(euler, fuse(members, identity()), x)[0];
  CHECK(distance(both, mine) < 1e-12);
}

TEST_CASE("coop: a range of noise levels ends a member's part where it says") {
  auto members = two(0.5);
  members[1].weight.sigma_low = 2.0;
  std::vector<double> called_at;
  members[1].denoise = [&called_at, D = members[1].denoise](const Latents& x, double sigma) {
    called_at.push_back(sigma);
    return D(x, sigma);
  };
  const Latents x = start({kShape, kShape});
  drawn(find_sampler("euler"), fuse(members, identity()), x);
  const auto above = std::count_if(kSigmas.begin(), kSigmas.end(), [](double s) { return s >= 2; });
  CHECK(called_at.size() == static_cast<size_t>(above));
  CHECK(*std::min_element(called_at.begin(), called_at.end()) >= 2.0);
}

TEST_CASE("coop: guesses that are bridged at every k-th call are used again in between") {
  int bridges = 0;
  const Bridge counted = [&bridges](size_t, size_t, const at::Tensor& x0) {
    ++bridges;
    return x0;
  };
  const Latents x = start({kShape, kShape});
  for (const auto& [form, each] : {std::pair{CoopForm::kPaper, 2}, {CoopForm::kOneWay, 1}}) {
    bridges = 0;
    const Denoiser D = fuse(two(0.5), counted, {.form = form, .bridge_every = 4});
    const at::Tensor once = drawn(find_sampler("euler"), D, x)[0];
    CHECK(bridges == 3 * each);  // 12 steps
    // A second drawing begins anew.
    CHECK(at::equal(drawn(find_sampler("euler"), D, x)[0], once));
    CHECK(bridges == 6 * each);
  }
  // A call in the middle of a step does not begin a drawing. There are two calls a step, but one in
  // the last step.
  for (const char* name : {"heun", "dpm2", "dpm2_a", "dpmpp_2s_a", "dpmpp_sde"}) {
    bridges = 0;
    drawn(find_sampler(name), fuse(two(0.5), counted, {.bridge_every = 4}), x);
    CHECK_MESSAGE(bridges == 12, name);
  }
  bridges = 0;
  const Denoiser late = fuse(two(0.5), counted, {.bridge_sigma_high = 1.0});
  drawn(find_sampler("euler"), late, x);
  const auto below =
      std::count_if(kSigmas.begin(), kSigmas.end() - 1, [](double s) { return s < 1; });
  CHECK(bridges == 2 * (1 + below));  // the first call always bridges
}

TEST_CASE("coop: a curve of weights is linear in log sigma and constant beyond its ends") {
  const WeightCurve curve{.points = {{0.5, 0.2}, {8.0, 1.0}}, .sigma_low = 0.1, .sigma_high = 20.0};
  CHECK(curve.at(0.05) == 0.0);
  CHECK(curve.at(0.1) == 0.2);
  CHECK(curve.at(2.0) == doctest::Approx(0.6));
  CHECK(curve.at(19.0) == 1.0);
  CHECK(curve.at(20.0) == 0.0);
  CHECK_FALSE(curve.is_positive_up_to(0.09));
  CHECK(curve.is_positive_up_to(0.1));
  const WeightCurve ends{.points = {{1.0, 0.0}, {2.0, 1.0}}};
  CHECK_FALSE(ends.is_positive_up_to(1.0));
  CHECK(ends.is_positive_up_to(1.1));
}

TEST_CASE("coop: what cannot be fused is refused by the member's name") {
  CHECK(contains(refusal_of([] { fuse({two(0.5)[0]}, identity()); }), "two members"));
  auto members = two(0.5);
  members[1].weight.points = {{1.0, -0.5}};
  CHECK(contains(refusal_of([&] { fuse(members, identity()); }), "member 'other'"));
  members = two(0.5);
  members[0].weight.sigma_low = 1.0;
  members[1].weight.sigma_low = 2.0;
  CHECK(contains(refusal_of([&] { check_weights(members, kSigmas); }), "none at sigma 0."));
  members = two(1.0);
  members[1].mask = at::zeros({1, 1, 4, 6});
  CHECK(contains(refusal_of([&] { check_weights(members, kSigmas); }), "region"));
  members[1].mask = at::ones({1, 1, 4, 6});
  check_weights(members, kSigmas);
}

TEST_CASE("stages: equal spaces and no fresh noise are the plain sampler") {
  const Latents x = start({kShape});
  const Denoiser D = denoiser(0.5, 0.7);
  const auto pieces = cut_at(kSigmas, {kSigmas[4], 1.0, kSigmas[9]});
  REQUIRE(pieces.size() == 4);
  // A multistep sampler begins anew in a stage, and the level 1.0 is missing in the plain list.
  const auto with_level = [&] {
    SigmaList sigmas = kSigmas;
    sigmas.push_back(1.0);
    std::sort(sigmas.rbegin(), sigmas.rend());
    return sigmas;
  }();
  for (const char* name : {"euler", "heun", "dpm2", "euler_a", "ddim", "ddpm", "dpmpp_2s_a"}) {
    const Sampler& sampler = find_sampler(name);
    const ImageNoise noise(NoiseKind::kPhilox, kSeeds);
    std::vector<Stage> stages;
    size_t first_step = 0;
    for (const SigmaList& piece : pieces) {
      const NoiseSource goes_on = noise.steps(x, {.first_step = first_step});
      stages.push_back({D, piece, goes_on, [](const Latents& x0) { return x0; }, {}});
      first_step += piece.size() - 1;
    }
    const at::Tensor plain = sampler.sample(D, x, with_level, noise.steps(x), {}).one();
    size_t calls = 0;
    const at::Tensor staged =
        sample_stages(sampler, stages, x, Handoff::kKeepNoise, [&](const StepInfo& info) {
          CHECK(info.step == calls++);
          CHECK(info.step_count == with_level.size() - 1);
          return true;
        }).one();
    CHECK_MESSAGE(distance(plain, staged) < 1e-9, name);
    CHECK(calls == with_level.size() - 1);
  }
}

TEST_CASE("stages: fresh noise keeps the statistics of a Gaussian, carried noise does not") {
  // Pictures of equal pixels N(0, 1) are drawn at 2x2 and carried to 8x8 by repetition: at the
  // handoff the noise of the larger latent must be independent from pixel to pixel.
  const std::vector<uint64_t> seeds = [] {
    std::vector<uint64_t> s(64);
    for (size_t i = 0; i < s.size(); ++i) s[i] = i;
    return s;
  }();
  const auto neighbours = [&](Handoff handoff) {
    ImageNoise noise(NoiseKind::kPhilox, seeds);
    at::Tensor at_handover;
    const Denoiser flat = [](const Latents& x, double) { return Latents(at::zeros_like(x.one())); };
    const Denoiser sees = [&](const Latents& x, double) {
      if (!at_handover.defined()) at_handover = x.one();
      return Latents(at::zeros_like(x.one()));
    };
    const auto pieces = cut_at(kSigmas, {2.0});
    const std::vector<Stage> stages = {
        {flat,
         pieces[0],
         {},
         [](const Latents& x0) {
           return Latents(x0.one().repeat_interleave(4, 2).repeat_interleave(4, 3));
         },
         [&](const Latents& like) {
           return Latents(noise.next(like.one().sizes().slice(1).vec()));
         }},
        {sees, pieces[1], {}, {}, {}}};
    sample_stages(find_sampler("euler"), stages, noise.next({1, 2, 2}) * kSigmas.front(), handoff);
    const at::Tensor n = at_handover / 2.0;
    CHECK(n.square().mean().item<double>() == doctest::Approx(1.0).epsilon(0.2));
    return (n.slice(3, 0, 1) * n.slice(3, 1, 2)).mean().item<double>();
  };
  CHECK(std::abs(neighbours(Handoff::kFreshNoise)) < 0.1);
  CHECK(neighbours(Handoff::kNaive) > 0.8);
}

TEST_CASE("stages: levels are named by t, sigma, signal to noise or share of the steps") {
  const Schedule schedule;
  CHECK(sigma_from("t=500", schedule, kSigmas) == schedule.sigma_of_t(500));
  CHECK(sigma_from("sigma=1.5", schedule, kSigmas) == 1.5);
  CHECK(sigma_from("snr=0.25", schedule, kSigmas) == 2.0);
  CHECK(sigma_from("step=0.5", schedule, kSigmas) == kSigmas[6]);
  for (const char* wrong : {"500", "t=", "t=5x", "t=1000", "t=-1", "snr=0", "sigma=0", "sigma=nan",
                            "step=1.5", "ab=0.1", ""}) {
    CHECK_MESSAGE(refusal_of([&] { sigma_from(wrong, schedule, kSigmas); }) != "accepted", wrong);
  }
  for (size_t i = 0; i <= 12; ++i) {
    CHECK(step_of_share(kSigmas, static_cast<double>(i) / 12) == i);
    CHECK(step_of_share(kSigmas, (static_cast<double>(i) + 0.5) / 12) ==
          std::min<size_t>(i + 1, 12));
  }
  CHECK(step_of_share(karras_sigmas(20, 0.05, 14.0), 0.55) == 11);
  CHECK(contains(refusal_of([] { cut_at(kSigmas, {1.0, 2.0}); }), "fall"));
  CHECK(contains(refusal_of([] { cut_at(kSigmas, {20.0}); }), "between"));
}

}  // namespace
}  // namespace pangu::diffusion
