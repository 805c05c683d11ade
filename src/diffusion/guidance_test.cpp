// Which rows guidance calls the network for, and how it combines them.
#include "diffusion/guidance.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include "core/error.h"

namespace pangu::diffusion {
namespace {

using Rows = std::vector<int>;

TEST_CASE("rows without weight are not evaluated") {
  CHECK(row_weights({.scale = 1.0}, 1.0).rows == Rows{kCondRow});
  CHECK(row_weights({.scale = 0.0}, 1.0).rows == Rows{kUncondRow});
  CHECK(row_weights({.scale = 6.0}, 1.0).rows == Rows{kUncondRow, kCondRow});
  CHECK(row_weights({.scale = 6.0, .style_scales = {4.0, 0.0, 1.0}}, 1.0).rows == Rows{0, 1, 2, 4});
  // PanGu-Draw's defaults: guidance 6, aesthetic 4.
  CHECK(row_weights({.scale = 6.0, .style_scales = {4.0}}, 1.0).weights ==
        std::vector<double>{-5.0, 2.0, 4.0});
}

TEST_CASE("outside its interval guidance asks for the condition alone") {
  const Guidance guidance = {
      .scale = 6.0, .style_scales = {4.0}, .sigma_low = 0.3, .sigma_high = 5.0};
  CHECK(row_weights(guidance, 5.1).rows == Rows{kCondRow});
  CHECK(row_weights(guidance, 5.0).rows.size() == 3);
  CHECK(row_weights(guidance, 0.31).rows.size() == 3);
  CHECK(row_weights(guidance, 0.3).rows == Rows{kCondRow});
}

TEST_CASE("the sum is PanGu-Draw's formula for style guidance") {
  const at::Tensor e = at::randn({3 * 2, 4, 5, 5}, at::kDouble);
  const at::Tensor uncond = e.slice(0, 0, 2), cond = e.slice(0, 2, 4), style = e.slice(0, 4, 6);
  const at::Tensor golden = uncond + 6.0 * (cond - uncond) + 4.0 * (style - cond);
  const RowWeights rows = row_weights({.scale = 6.0, .style_scales = {4.0}}, 1.0);
  CHECK((combine_rows(e, rows, 0.0) - golden).abs().max().item<double>() < 1e-12);
}

TEST_CASE("the rescale gives each image the standard deviation of its condition") {
  const at::Tensor e = at::randn({2 * 3, 4, 8, 8}, at::kDouble);
  const RowWeights rows = row_weights({.scale = 7.5}, 1.0);
  const at::Tensor full = combine_rows(e, rows, 1.0);
  const at::Tensor cond = e.slice(0, 3, 6);
  const at::Tensor ratio = full.flatten(1).std(1) / cond.flatten(1).std(1);
  CHECK((ratio - 1.0).abs().max().item<double>() < 1e-12);
  const at::Tensor plain = combine_rows(e, rows, 0.0), half = combine_rows(e, rows, 0.5);
  CHECK((half - 0.5 * (plain + full)).abs().max().item<double>() < 1e-12);
  // The condition's row is called for even with weight 0.
  CHECK(row_weights({.scale = 2.0, .style_scales = {2.0}, .rescale = 0.5}, 1.0).rows ==
        Rows{0, 1, 2});
}

TEST_CASE("one step is one batched forward, in the network's scale and time") {
  const Schedule schedule;
  const at::Tensor x = at::randn({2, 4, 6, 6}) * schedule.sigma_of_t(700);
  int forwards = 0;
  const BatchedNet net = [&](const at::Tensor& x_net, const NetLevel& level, const Rows& rows) {
    ++forwards;
    CHECK(level.t_index == 700.0);
    CHECK(level.sigma == schedule.sigma_of_t(700));
    CHECK(rows == Rows{0, 1, 2});
    const double scale = schedule.input_scale(schedule.sigma_of_t(700));
    CHECK((x_net - x * scale).abs().max().item<double>() < 1e-6);
    return at::cat({x_net * 1.0, x_net * 2.0, x_net * 3.0}).to(at::kBFloat16);
  };
  const Denoiser D =
      guide(net, Parameterisation::kV, schedule, {.scale = 3.0, .style_scales = {1.0}});
  const Latents x0 = D(x, schedule.sigma_of_t(700));
  CHECK(forwards == 1);
  CHECK(x0.one().sizes() == x.sizes());
  CHECK((x0.one().scalar_type() == at::kFloat));
}

TEST_CASE("guidance refuses numbers that mean nothing and predictions of the wrong shape") {
  const Schedule schedule;
  const BatchedNet one_row_only = [](const at::Tensor& x, const NetLevel&, const Rows&) {
    return x;
  };
  CHECK_THROWS_AS(guide(one_row_only, Parameterisation::kEps, schedule, {.rescale = 1.5}), Error);
  CHECK_THROWS_AS(
      guide(one_row_only, Parameterisation::kEps, schedule, {.sigma_low = 2.0, .sigma_high = 1.0}),
      Error);
  const Denoiser D = guide(one_row_only, Parameterisation::kEps, schedule, {.scale = 5.0});
  CHECK_THROWS_AS(D(at::randn({1, 4, 4, 4}), 1.0), Error);
  CHECK_THROWS_AS(D(at::randn({2, 4, 4, 4}), 1.0), Error);
}

}  // namespace
}  // namespace pangu::diffusion
