// Compares the fused CPU kernels with the plain ATen operators, forward and backward, and the lane
// functions with libm.
#include <ATen/ATen.h>
#include <doctest/doctest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <vector>

#include "nn/fused_geglu.h"
#include "nn/fused_norm.h"
#include "nn/lane_math.h"

namespace pangu::nn {
namespace {

// The largest difference divided by the largest magnitude.
double relative(const at::Tensor& got, const at::Tensor& want) {
  const at::Tensor reference = want.to(at::kDouble);
  return ((got.to(at::kDouble) - reference).abs().max() / reference.abs().max()).item<double>();
}

at::Tensor random(at::IntArrayRef sizes) { return at::randn(sizes) * 1.5 + 0.7; }

TEST_CASE("exp, sigmoid and erf in lanes agree with libm over their range") {
  for (float x = -87.0f; x < 87.0f; x += 0.0137f) {
    CHECK(lane::exp(x) == doctest::Approx(std::exp(static_cast<double>(x))).epsilon(4e-7));
    CHECK(std::abs(lane::sigmoid(x) - 1.0 / (1.0 + std::exp(-static_cast<double>(x)))) < 2e-7);
  }
  for (float x = -6.0f; x < 6.0f; x += 0.0011f) {
    const float erf = lane::erf_given_gauss(x, lane::exp(-x * x));
    CHECK(std::abs(erf - std::erf(static_cast<double>(x))) < 5e-7);
  }
}

TEST_CASE("bf16 lanes round to nearest even as c10 does") {
  for (float x = -3.0f; x < 3.0f; x += 0.00037f) {
    c10::BFloat16 out;
    lane::store(x, out);
    CHECK(out.x == c10::BFloat16(x).x);
    CHECK(lane::load(out) == static_cast<float>(out));
  }
}

struct NormCase {
  int64_t batch, channels, height, width, groups;
  Activation after;
  bool shifted;
};

// Returns the output and the gradients of x, shift, weight, bias.
std::vector<at::Tensor> run_norm(const NormCase& c, at::ScalarType type, bool fused) {
  torch::manual_seed(3);
  torch::nn::GroupNorm norm(torch::nn::GroupNormOptions(c.groups, c.channels));
  norm->weight.set_data(at::randn({c.channels}) * 0.5 + 1);
  norm->bias.set_data(at::randn({c.channels}));
  norm->to(type);
  const auto leaf = [&](const at::Tensor& t) { return t.to(type).detach().requires_grad_(); };
  const at::Tensor x = leaf(
      random({c.batch, c.channels, c.height, c.width}).contiguous(at::MemoryFormat::ChannelsLast));
  const at::Tensor shift = c.shifted ? leaf(random({c.batch, c.channels})) : at::Tensor();
  const at::Tensor upstream = at::randn_like(x);
  const at::Tensor y =
      fused ? group_norm(x, norm, c.after, shift) : plain_group_norm(x, norm, c.after, shift);
  y.backward(upstream);
  std::vector<at::Tensor> all = {y.detach(), x.grad(), norm->weight.grad(), norm->bias.grad()};
  if (c.shifted) all.push_back(shift.grad());
  return all;
}

TEST_CASE("the fused group norm and its gradients equal the plain operators in f32 and bf16") {
  const NormCase cases[] = {{3, 96, 16, 16, 32, Activation::kSilu, false},
                            {2, 96, 5, 7, 32, Activation::kSilu, true},
                            {2, 12, 1, 1, 4, Activation::kSilu, true},
                            {1, 40, 9, 3, 1, Activation::kNone, false},
                            {4, 64, 4, 4, 64, Activation::kNone, true}};
  for (const NormCase& c : cases) {
    const auto plain = run_norm(c, at::kFloat, false);
    const auto fused = run_norm(c, at::kFloat, true);
    REQUIRE(plain.size() == fused.size());
    CHECK(fused[0].is_contiguous(at::MemoryFormat::ChannelsLast));
    for (size_t i = 0; i < plain.size(); ++i) {
      CAPTURE(i);
      // with one value a group the gradient is 0
      if (plain[i].abs().max().item<float>() < 1e-3f) continue;
      CHECK(relative(fused[i], plain[i]) < 2e-5);
    }
    // In bf16 the reference is the result in f32: the fused kernel may be 1.5 times as far from it
    // as the plain operators are.
    const auto rough = run_norm(c, at::kBFloat16, false);
    const auto fused_rough = run_norm(c, at::kBFloat16, true);
    for (size_t i = 0; i < plain.size(); ++i) {
      CAPTURE(i);
      if (plain[i].abs().max().item<float>() < 1e-3f) continue;
      CHECK(relative(fused_rough[i], plain[i]) < 1.5 * relative(rough[i], plain[i]) + 4e-3);
    }
  }
}

// Returns x [B,C,H,W] channels-last of this mean and deviation 1, in `type`.
at::Tensor far_from_zero(at::IntArrayRef sizes, double mean, at::ScalarType type) {
  torch::manual_seed(7);
  return (at::randn(sizes, at::kDouble) + mean).to(type).contiguous(at::MemoryFormat::ChannelsLast);
}

// Makes a norm whose weights are rounded to `rounded` and kept in `type`.
torch::nn::GroupNorm norm_for(int64_t groups, int64_t channels, at::ScalarType type,
                              at::ScalarType rounded = at::kFloat) {
  torch::manual_seed(11);
  torch::nn::GroupNorm norm(torch::nn::GroupNormOptions(groups, channels));
  norm->weight.set_data(at::randn({channels}) * 0.2 + 1);
  norm->bias.set_data(at::randn({channels}));
  norm->to(rounded);
  norm->to(type);
  return norm;
}

// Returns the output and the gradients of x, weight and bias. The reference is the same computation
// in f64 with the plain layout.
std::vector<at::Tensor> norm_of(const at::Tensor& x, torch::nn::GroupNorm norm,
                                const at::Tensor& shift, bool fused) {
  const at::Tensor leaf = x.detach().requires_grad_();
  const at::Tensor y = fused ? group_norm(leaf, norm, Activation::kSilu, shift)
                             : plain_group_norm(leaf, norm, Activation::kSilu, shift);
  torch::manual_seed(13);
  y.backward(at::randn(x.sizes()).to(x.scalar_type()));
  return {y.detach(), leaf.grad(), norm->weight.grad(), norm->bias.grad()};
}

TEST_CASE("group norm keeps the variance of values whose mean is 30, 100 and 1000 deviations") {
  for (const double mean : {30.0, 100.0, 1000.0}) {
    // The mean is in x, or in the shift that is added to x.
    for (const double shifted : {0.0, mean}) {
      CAPTURE(mean);
      CAPTURE(shifted);
      const at::Tensor x = far_from_zero({1, 64, 61, 47}, mean - shifted, at::kFloat);
      const at::Tensor shift = shifted == 0 ? at::Tensor() : at::full({1, 64}, shifted, at::kFloat);
      const at::Tensor wide = shifted == 0 ? shift : shift.to(at::kDouble);
      const auto exact =
          norm_of(x.to(at::kDouble).contiguous(), norm_for(32, 64, at::kDouble), wide, false);
      // The rounding of x a + s is about mean * 2^-24.
      const double bound = 2e-5 + mean * 2e-7;
      for (const bool fused : {true, false}) {
        CAPTURE(fused);
        const auto found = norm_of(x, norm_for(32, 64, at::kFloat), shift, fused);
        // ATen computes the weight's gradient as a difference of two large sums; our kernel does
        // not.
        const size_t checked = fused ? exact.size() : 2;
        for (size_t i = 0; i < checked; ++i) {
          CAPTURE(i);
          CHECK(relative(found[i], exact[i]) < bound);
        }
      }
    }
  }
}

TEST_CASE("group norm keeps the variance of bf16 and f16 values far from zero") {
  for (const auto type : {at::kBFloat16, at::kHalf}) {
    const at::Tensor x = far_from_zero({1, 64, 61, 47}, 100.0, type);
    const auto exact =
        norm_of(x.to(at::kDouble).contiguous(), norm_for(32, 64, at::kDouble, type), {}, false);
    const auto found = norm_of(x, norm_for(32, 64, type), {}, true);
    CHECK(relative(found[0], exact[0]) < 4e-3);  // half a step of bf16's 8 bits
  }
}

TEST_CASE("group norm and its gradients are the same bits with one, two and three threads") {
  const int before = at::get_num_threads();
  for (const int64_t batch : {1, 2, 5}) {
    CAPTURE(batch);
    const at::Tensor x = far_from_zero({batch, 64, 61, 47}, 3.0, at::kFloat);
    std::vector<at::Tensor> one;
    for (const int threads : {1, 2, 3}) {
      CAPTURE(threads);
      at::set_num_threads(threads);
      const auto found = norm_of(x, norm_for(32, 64, at::kFloat), {}, true);
      if (one.empty()) one = found;
      for (size_t i = 0; i < one.size(); ++i) CHECK(at::equal(found[i], one[i]));
    }
  }
  at::set_num_threads(before);
}

TEST_CASE("the fused GEGLU and its gradient equal the plain operators") {
  for (const auto& [type, bound] : {std::pair{at::kFloat, 2e-6}, {at::kBFloat16, 1.2e-2}}) {
    torch::manual_seed(5);
    const at::Tensor x = (at::randn({3, 17, 2 * 37}) * 2).to(type);
    const at::Tensor upstream = at::randn({3, 17, 37}).to(type);
    const at::Tensor a = x.detach().clone().requires_grad_();
    const at::Tensor b = x.detach().to(at::kFloat).requires_grad_();
    const at::Tensor fused = geglu(a);
    const at::Tensor plain = plain_geglu(b);
    fused.backward(upstream);
    plain.backward(upstream.to(at::kFloat));
    CHECK(relative(fused, plain) < bound);
    CHECK(relative(a.grad(), b.grad()) < bound);
  }
}

}  // namespace
}  // namespace pangu::nn
