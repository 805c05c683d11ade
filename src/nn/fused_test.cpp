// The fused CPU kernels against the plain ATen operators, forward and backward, and the lane
// functions against libm.
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

// Largest difference over the largest magnitude.
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
  AfterNorm after;
  bool shifted;
};

// Output and gradients of x, shift, weight, bias.
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
  const NormCase cases[] = {{3, 96, 16, 16, 32, AfterNorm::kSilu, false},
                            {2, 96, 5, 7, 32, AfterNorm::kSilu, true},
                            {2, 12, 1, 1, 4, AfterNorm::kSilu, true},
                            {1, 40, 9, 3, 1, AfterNorm::kNothing, false},
                            {4, 64, 4, 4, 64, AfterNorm::kNothing, true}};
  for (const NormCase& c : cases) {
    const auto plain = run_norm(c, at::kFloat, false);
    const auto fused = run_norm(c, at::kFloat, true);
    REQUIRE(plain.size() == fused.size());
    CHECK(fused[0].is_contiguous(at::MemoryFormat::ChannelsLast));
    for (size_t i = 0; i < plain.size(); ++i) {
      CAPTURE(i);
      if (plain[i].abs().max().item<float>() < 1e-3f) continue;  // one value a group: gradient 0
      CHECK(relative(fused[i], plain[i]) < 2e-5);
    }
    // In bf16 the judge is f32: the fused kernel must be as near to it as the plain operators are
    // (x 1.5 for luck).
    const auto rough = run_norm(c, at::kBFloat16, false);
    const auto fused_rough = run_norm(c, at::kBFloat16, true);
    for (size_t i = 0; i < plain.size(); ++i) {
      CAPTURE(i);
      if (plain[i].abs().max().item<float>() < 1e-3f) continue;
      CHECK(relative(fused_rough[i], plain[i]) < 1.5 * relative(rough[i], plain[i]) + 4e-3);
    }
  }
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
