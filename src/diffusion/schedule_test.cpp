// Golden numbers below were computed from the formulas in NumPy (f64), and the lists compared with
// diffusers' EulerDiscreteScheduler.
#include "diffusion/schedule.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/error.h"
#include "diffusion/sigmas.h"

namespace pangu::diffusion {
namespace {

Schedule schedule_of(BetaSchedule kind, double start, double end, bool zero_snr = false) {
  ScheduleConfig config;
  config.beta_schedule = kind;
  config.beta_start = start;
  config.beta_end = end;
  config.rescale_betas_zero_snr = zero_snr;
  return Schedule(config);
}

void check_close(double value, double golden, double relative = 1e-11) {
  CAPTURE(value);
  CAPTURE(golden);
  CHECK(std::abs(value - golden) <= relative * std::abs(golden));
}

void check_list(const SigmaList& sigmas, const std::vector<double>& golden) {
  REQUIRE(sigmas.size() == golden.size());
  for (size_t i = 0; i < golden.size(); ++i) check_close(sigmas[i], golden[i], 1e-10);
}

TEST_CASE("the scaled-linear schedule is Stable Diffusion's") {
  const Schedule sd;
  REQUIRE(sd.alpha_bars().size() == 1000);
  check_close(sd.alpha_bars()[0], 0.99915);
  check_close(sd.alpha_bars()[499], 0.277669650456468);
  check_close(sd.alpha_bars()[999], 0.00466009851307724);
  check_close(sd.sigma_of_t(999), 14.6146412293336);
  check_close(sd.sigma_of_t(500), 1.61827882601862);
  check_close(sd.sigma_of_t(499), 1.61288619430388);
  check_close(sd.sigma_min(), 0.0291671581517204);
  CHECK(sd.sigma_max() == sd.sigma_of_t(999));
}

TEST_CASE("the linear and squared-cosine schedules have their papers' numbers") {
  const Schedule linear = schedule_of(BetaSchedule::kLinear, 0.0001, 0.02);
  check_close(linear.alpha_bars()[1], 0.999780092072072);
  check_close(linear.alpha_bars()[999], 4.03582976537568e-05);
  check_close(linear.sigma_of_t(499), 3.42413661904404);
  const Schedule cosine = schedule_of(BetaSchedule::kSquaredCosine, 0.0001, 0.02);
  check_close(cosine.alpha_bars()[0], 0.999958715775178);
  check_close(cosine.alpha_bars()[500], 0.492285172448803);
  check_close(cosine.alpha_bars()[998], 2.42876690703485e-06, 1e-9);
  check_close(cosine.sigma_of_t(999), 20291.1696100199, 1e-9);
}

TEST_CASE("zero terminal SNR ends in pure noise and a finite sigma") {
  const Schedule zero = schedule_of(BetaSchedule::kScaledLinear, 0.00085, 0.012, true);
  check_close(zero.alpha_bars()[0], 0.99915);
  check_close(zero.alpha_bars()[499], 0.242359166556145);
  check_close(zero.alpha_bars()[998], 1.96788805662129e-07, 1e-8);
  CHECK(zero.alpha_bars()[999] == 0.0);
  CHECK(zero.coefficients_at(999).signal == 0.0);
  CHECK(zero.coefficients_at(999).noise == 1.0);
  check_close(zero.sigma_max(), 4096.0, 1e-7);
}

TEST_CASE("t and sigma are inverse at every table entry, and log-linear between") {
  for (const BetaSchedule kind :
       {BetaSchedule::kLinear, BetaSchedule::kScaledLinear, BetaSchedule::kSquaredCosine}) {
    for (const bool zero_snr : {false, true}) {
      const Schedule schedule = schedule_of(kind, 0.00085, 0.012, zero_snr);
      for (int t = 0; t < 1000; ++t) {
        REQUIRE(schedule.t_of_sigma(schedule.sigma_of_t(t)) == t);
        if (t > 0) REQUIRE(schedule.sigma_of_t(t) > schedule.sigma_of_t(t - 1));
      }
    }
  }
  const Schedule sd;
  check_close(sd.t_of_sigma(2.0), 562.2859809258856);
  check_close(sd.sigma_of_t(499.25), 1.6142326652011647);
  CHECK(sd.t_of_sigma(1e9) == 999.0);
  CHECK(sd.t_of_sigma(1e-9) == 0.0);
  CHECK(sd.sigma_of_t(5000.0) == sd.sigma_max());
}

TEST_CASE("a flow keeps signal and noise on a straight line") {
  ScheduleConfig config;
  config.beta_schedule = BetaSchedule::kFlow;
  const Schedule flow(config);
  check_close(flow.sigma_of_t(500), 1.0);
  check_close(flow.t_of_sigma(4.0), 800.0);
  const Coefficients c = flow.coefficients(4.0);
  check_close(c.signal, 0.2);
  check_close(c.noise, 0.8);
  check_close(flow.sigma_max(), 4095.0);
  check_close(flow.coefficients_at(250).signal, 0.75);
  check_list(make_sigmas("normal", flow, 5), {4095, 4, 1.5, 2.0 / 3, 0.25, 0});
  config.flow_shift = 3.0;
  check_list(make_sigmas("normal", Schedule(config), 5), {4095, 12, 4.5, 2, 0.75, 0});
}

TEST_CASE("spacings visit the timesteps of diffusers and of the released PanGu-Draw") {
  const Schedule sd;
  const auto timesteps = [&sd](Spacing spacing, int64_t n) {
    SigmaOptions options;
    options.spacing = spacing;
    return spaced_timesteps(sd, n, options);
  };
  using List = std::vector<double>;
  CHECK(timesteps(Spacing::kLeading, 7) == List{853, 711, 569, 427, 285, 143, 1});
  CHECK(timesteps(Spacing::kTrailing, 7) == List{999, 856, 713, 570, 428, 285, 142});
  CHECK(timesteps(Spacing::kLinspace, 7) == List{999, 832.5, 666, 499.5, 333, 166.5, 0});
  CHECK(timesteps(Spacing::kLegacyDdpm, 5) == List{999, 799, 599, 399, 199});
  // Sums of NumPy's linspace(999, 0, n, endpoint=False).astype(int).
  for (const auto& [n, golden] :
       {std::pair{20, 10480}, {25, 12975}, {37, 18981}, {40, 20460}, {999, 499500}}) {
    double sum = 0.0;
    for (double t : timesteps(Spacing::kLegacyDdpm, n)) sum += t;
    CHECK(sum == golden);
  }
}

TEST_CASE("sigma lists have their golden values") {
  const Schedule sd;
  SigmaOptions options;
  check_list(make_sigmas("normal", sd, 7, options),
             {14.6146412293336, 5.94889919097, 2.91830711543, 1.61558026016, 0.932357966835,
              0.49355172032, 0.0291671581517204, 0});
  options.linear_interpolation = true;
  check_list(make_sigmas("normal", sd, 7, options),
             {14.6146412293336, 5.94891617261, 2.91830711543, 1.61558251016, 0.932357966835,
              0.493553045762, 0.0291671581517204, 0});
  check_list(make_sigmas("karras", sd, 5), {14.6146412293336, 4.79653482712, 1.27410020898,
                                            0.247949902711, 0.0291671581517204, 0});
  check_list(make_sigmas("exponential", sd, 5), {14.6146412293336, 3.08897681034, 0.652891684789,
                                                 0.137996358742, 0.0291671581517204, 0});
  check_list(make_sigmas("edm", sd, 5),
             {80, 17.5278319646, 2.51521897615, 0.169752756269, 0.002, 0});
  CHECK(to_string(SigmaList{14.6146412293336, 1.5, 0.0}) == "14.6146 1.5 0");
}

TEST_CASE("a wrong name or number is an error that names what would be right") {
  const Schedule sd;
  CHECK_THROWS_WITH_AS(make_sigmas("karas", sd, 5),
                       doctest::Contains("one of normal, sgm_uniform, simple"), Error);
  CHECK_THROWS_WITH_AS(make_sigmas("normal", sd, 1001), doctest::Contains("1 to 1000"), Error);
  CHECK_THROWS_AS(make_sigmas("karras", sd, 0), Error);
  CHECK_THROWS_WITH_AS(beta_schedule_from("cosine"), doctest::Contains("squaredcos_cap_v2"), Error);
  CHECK(beta_schedule_from("scaled_linear") == BetaSchedule::kScaledLinear);
  CHECK(spacing_from(to_string(Spacing::kTrailing)) == Spacing::kTrailing);
  ScheduleConfig config;
  config.beta_start = 0.02;
  CHECK_THROWS_WITH_AS(Schedule{config}, doctest::Contains("beta_start"), Error);
  config = {};
  config.beta_schedule = BetaSchedule::kFlow;
  config.rescale_betas_zero_snr = true;
  CHECK_THROWS_AS(Schedule{config}, Error);
}

}  // namespace
}  // namespace pangu::diffusion
