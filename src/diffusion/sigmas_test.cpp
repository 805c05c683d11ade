// Tests lists of noise levels against golden numbers from the formulas in NumPy and mpmath;
// tests/parity/samplers_test.cpp compares them with diffusers' schedulers.
#include "diffusion/sigmas.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/error.h"
#include "diffusion/beta_quantile.h"

namespace pangu::diffusion {
namespace {

void check_list(const SigmaList& sigmas, const SigmaList& golden) {
  CAPTURE(to_string(sigmas));
  REQUIRE(sigmas.size() == golden.size());
  for (size_t i = 0; i < golden.size(); ++i) {
    CHECK(std::abs(sigmas[i] - golden[i]) <= 1e-10 * golden[i]);
  }
}

TEST_CASE("the beta distribution and its quantiles are mpmath's") {
  CHECK(std::abs(beta_distribution(0.3, 0.6, 0.6) - 0.35252651177214375) < 1e-14);
  CHECK(std::abs(beta_distribution(0.9, 2.5, 0.5) - 0.48958974456442755) < 1e-14);
  struct Case {
    double p, alpha, beta, x;
  };
  for (const Case& c : {Case{0.25, 0.6, 0.6, 0.17568037865269502},
                        {0.001, 0.6, 0.6, 1.8558738517452003e-5},
                        {0.9, 0.6, 0.6, 0.96041559441121915},
                        {0.3, 2.0, 5.0, 0.18180347131894917},
                        {0.7, 0.2, 3.0, 0.045204329082143761}}) {
    CAPTURE(c.p);
    CHECK(std::abs(beta_quantile(c.p, c.alpha, c.beta) - c.x) < 1e-13 * c.x);
  }
  CHECK(beta_quantile(0.0, 0.6, 0.6) == 0.0);
  CHECK(beta_quantile(1.0, 0.6, 0.6) == 1.0);
  CHECK(std::abs(beta_quantile(0.5, 0.6, 0.6) - 0.5) < 1e-15);
  CHECK_THROWS_AS(beta_quantile(1.5, 0.6, 0.6), Error);
  CHECK_THROWS_AS(beta_quantile(0.5, 0.0, 0.6), Error);
}

TEST_CASE("the web UIs' lists visit Stable Diffusion's schedule where they should") {
  const Schedule sd;
  check_list(make_sigmas("sgm_uniform", sd, 4),
             {14.614641229333637, 4.086081071209322, 1.6155802601603273, 0.695149519078429, 0.0});
  check_list(make_sigmas("simple", sd, 4),
             {14.614641229333639, 4.081729363724308, 1.612886194303876, 0.6932048996386885, 0.0});
  check_list(make_sigmas("ddim_uniform", sd, 4),
             {4.116696479276065, 1.623692081515863, 0.6983980911630334, 0.04131441199678309, 0.0});
  CHECK(make_sigmas("ddim_uniform", sd, 20).size() == 21);
  CHECK(make_sigmas("ddim_uniform", sd, 30).size() == 32);  // 33 fits 31 times
  CHECK(lcm_timesteps(sd, 4) == std::vector<double>{999, 759, 499, 259});
  CHECK(lcm_timesteps(sd, 4, 50, 0.5) == std::vector<double>{499, 379, 259, 139});
  check_list(make_sigmas("lcm", sd, 4),
             {14.614641229333639, 4.260556852177228, 1.612886194303876, 0.7193796203058821, 0.0});
}

TEST_CASE("align your steps is the published table and log-linear between it") {
  check_list(align_your_steps_sigmas(10, AlignYourSteps::kSd15),
             {14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.0});
  SigmaOptions options;
  options.align_your_steps = AlignYourSteps::kSdxl;
  check_list(make_sigmas("align_your_steps", Schedule(), 10, options),
             {14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.0});
  check_list(make_sigmas("align_your_steps", Schedule(), 3, options),
             {14.615, 1.8550457107375469, 0.43114172875291595, 0.0});
}

TEST_CASE("polyexponential is exponential unless it is bent") {
  check_list(polyexponential_sigmas(7, 0.1, 10.0), exponential_sigmas(7, 0.1, 10.0));
  SigmaOptions options;
  options.rho = 2.0;
  options.sigma_min = 0.1;
  options.sigma_max = 10.0;
  check_list(make_sigmas("polyexponential", Schedule(), 4, options),
             {10.0, 0.7742636826811276, 0.16681005372000593, 0.1, 0.0});
}

TEST_CASE("kl_optimal goes by equal parts of the angle") {
  SigmaOptions options;
  options.sigma_min = std::tan(0.25);
  options.sigma_max = std::tan(1.0);
  check_list(make_sigmas("kl_optimal", Schedule(), 4, options),
             {std::tan(1.0), std::tan(0.75), std::tan(0.5), std::tan(0.25), 0.0});
}

TEST_CASE("every list falls strictly to zero for every schedule and count") {
  ScheduleConfig zero_snr, flow, cosine;
  zero_snr.rescale_betas_zero_snr = true;
  flow.beta_schedule = BetaSchedule::kFlow;
  flow.flow_shift = 3.0;
  cosine.beta_schedule = BetaSchedule::kSquaredCosine;
  for (const ScheduleConfig& config : {ScheduleConfig(), zero_snr, flow, cosine}) {
    const Schedule schedule(config);
    CAPTURE(to_string(config.beta_schedule));
    for (const SigmaRule& rule : sigma_rules()) {
      const std::string& name = rule.name;
      for (const int64_t n : {1, 2, 3, 10, 28, 50, 61, 500, 1000}) {
        CAPTURE(name);
        CAPTURE(n);
        if (name == "lcm" && n > 50) {
          CHECK_THROWS_AS(make_sigmas(name, schedule, n), Error);
          continue;
        }
        const SigmaList sigmas = make_sigmas(name, schedule, n);
        if (name != "ddim_uniform") CHECK(sigmas.size() == static_cast<size_t>(n) + 1);
        CHECK(sigmas.back() == 0.0);
        bool falls = std::isfinite(sigmas.front());
        for (size_t i = 1; i < sigmas.size(); ++i) falls = falls && sigmas[i] < sigmas[i - 1];
        CHECK(falls);
      }
    }
  }
}

TEST_CASE("every spacing and rule gives falling timesteps inside the schedule") {
  const Schedule sd;
  for (const Spacing spacing :
       {Spacing::kLeading, Spacing::kLinspace, Spacing::kTrailing, Spacing::kLegacyDdpm}) {
    for (const TimestepRule rule :
         {TimestepRule::kEuler, TimestepRule::kDdim, TimestepRule::kDpmSolver}) {
      for (int64_t n = 1; n < 1000; ++n) {
        SigmaOptions options;
        options.spacing = spacing;
        options.timestep_rule = rule;
        const auto t = spaced_timesteps(sd, n, options);
        REQUIRE(t.size() == static_cast<size_t>(n));
        REQUIRE(t.front() <= 999.0);
        REQUIRE(t.back() >= 0.0);
        bool falls = true;
        for (size_t i = 1; i < t.size(); ++i) falls = falls && t[i] < t[i - 1];
        REQUIRE(falls);
      }
    }
  }
  SigmaOptions options;
  options.timestep_rule = TimestepRule::kDpmSolver;
  CHECK_THROWS_WITH_AS(spaced_timesteps(sd, 1000, options), doctest::Contains("1 to 999"), Error);
}

TEST_CASE("a list may end at the schedule's lowest sigma, once") {
  const Schedule sd;
  SigmaOptions options;
  options.final_sigma = FinalSigma::kSigmaMin;
  options.spacing = Spacing::kLeading;
  const SigmaList leading = make_sigmas("normal", sd, 10, options);
  CHECK(leading.size() == 11);
  CHECK(leading.back() == sd.sigma_min());
  options.spacing = Spacing::kLinspace;  // which visits sigma_min already
  CHECK(make_sigmas("normal", sd, 10, options).size() == 10);
  CHECK(make_sigmas("karras", sd, 10, options).back() == doctest::Approx(sd.sigma_min()));
  CHECK((final_sigma_from(to_string(FinalSigma::kSigmaMin)) == FinalSigma::kSigmaMin));
}

TEST_CASE("a list may be given another end, which drops a step from there to itself") {
  CHECK(ending_at({3, 2, 1, 0}, 0.5) == SigmaList{3, 2, 1, 0.5});
  CHECK(ending_at({3, 2, 1, 0}, 1) == SigmaList{3, 2, 1});
  CHECK(ending_at({1, 0}, 0.5) == SigmaList{1, 0.5});
  CHECK(ending_at({1, 0}, 1) == SigmaList{1, 0});
}

TEST_CASE("the ends of a curve may be the first and last timestep of the spacing") {
  const Schedule sd;
  SigmaOptions options;
  options.spacing = Spacing::kLeading;
  const SigmaList visited = make_sigmas("normal", sd, 10, options);
  options.ends_of_timesteps = true;
  for (const char* name : {"karras", "exponential", "polyexponential", "beta"}) {
    const SigmaList sigmas = make_sigmas(name, sd, 10, options);
    CHECK(sigmas.front() == doctest::Approx(visited.front()).epsilon(1e-12));
    CHECK(sigmas[9] == doctest::Approx(visited[9]).epsilon(1e-12));
  }
}

TEST_CASE("the tail of a list keeps as many steps as the strength says, rounded down") {
  const SigmaList sigmas = {5, 4, 3, 2, 1, 0};
  CHECK(tail_of(sigmas, 1.0) == sigmas);
  CHECK(tail_of(sigmas, 0.6) == SigmaList{3, 2, 1, 0});
  CHECK(tail_of(sigmas, 0.59) == SigmaList{2, 1, 0});
  // 100 * 0.29 is 28.999999999999996 in double, as in Python.
  CHECK(tail_of(karras_sigmas(100, 0.1, 10.0), 0.29).size() == 29);
  CHECK_THROWS_WITH_AS(tail_of(sigmas, 0.1), doctest::Contains("greater strength"), Error);
  CHECK_THROWS_AS(tail_of(sigmas, 1.1), Error);
  CHECK_THROWS_AS(tail_of(sigmas, NAN), Error);
}

}  // namespace
}  // namespace pangu::diffusion
