// Plans and routing: which expert serves which step.
#include "diffusion/experts.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace pangu::diffusion {
namespace {

Plan pangu_plan(int64_t steps, bool lag) {
  const Schedule schedule;
  SigmaOptions options;
  options.spacing = Spacing::kLegacyDdpm;
  return make_plan(make_sigmas("normal", schedule, steps, options), schedule,
                   {schedule.sigma_of_t(500)}, lag);
}

TEST_CASE("with the lag, the plan splits the steps as the released PanGu-Draw does") {
  struct Case {
    int64_t steps;
    size_t structure, texture;
  };
  for (const Case& c :
       {Case{40, 21, 19}, {20, 11, 9}, {25, 14, 11}, {8, 5, 3}, {4, 3, 1}, {3, 3, 0}}) {
    CAPTURE(c.steps);
    const Plan plan = pangu_plan(c.steps, true);
    CHECK(plan.steps_of(0) == c.structure);
    CHECK(plan.steps_of(1) == c.texture);
    // The plan names the expert that routing by its boundaries calls.
    for (const PlanStep& step : plan.steps) {
      CHECK(expert_of_sigma(plan.boundaries, step.sigma) == step.expert);
    }
  }
}

TEST_CASE("the lagging step is t 499 of 40 and of 20 steps and t 479 of 25") {
  const auto last_structure_t = [](int64_t steps) {
    const Plan plan = pangu_plan(steps, true);
    return plan.steps[plan.steps_of(0) - 1].t_index;
  };
  CHECK(last_structure_t(40) == 499.0);
  CHECK(last_structure_t(20) == 499.0);
  CHECK(last_structure_t(25) == 479.0);
}

TEST_CASE("without the lag, the structure expert serves t 500 and above") {
  const Plan plan = pangu_plan(40, false);
  CHECK(plan.steps_of(0) == 20);
  for (const PlanStep& step : plan.steps) CHECK((step.t_index >= 500.0) == (step.expert == 0));
}

TEST_CASE("a plan's sigmas are the list it was built from") {
  const Schedule schedule;
  const SigmaList sigmas = make_sigmas("karras", schedule, 9);
  CHECK(make_plan(sigmas, schedule).sigmas() == sigmas);
  CHECK(make_plan(sigmas, schedule).steps_of(0) == 9);
}

TEST_CASE("a drawing that begins below the boundary does not lag into the structure expert") {
  const Schedule schedule;
  const Plan plan = make_plan({1.0, 0.5, 0.0}, schedule, {schedule.sigma_of_t(500)}, true);
  CHECK(plan.steps_of(1) == 2);
}

TEST_CASE("a window holds the calls of the steps that lie whole inside of its share") {
  const Schedule schedule;
  for (const char* list : {"normal", "karras", "exponential", "beta"}) {
    for (const int64_t n : {1, 10, 25, 40}) {
      const Plan plan = make_plan(make_sigmas(list, schedule, n), schedule);
      for (const auto& [from, to] : {std::pair(0.0, 1.0), {0.0, 0.5}, {0.3, 0.7}, {0.55, 1.0}}) {
        const SigmaWindow window = plan.window(from, to);
        for (size_t i = 0; i < plan.steps.size(); ++i) {
          const auto count = static_cast<double>(plan.steps.size());
          const bool inside = double(i) / count >= from && double(i + 1) / count <= to;
          const double sigma = plan.steps[i].sigma, next = plan.steps[i].sigma_next;
          // The call at the step's beginning, the one in its middle, and calls whose sigma is off
          // by rounding.
          CHECK(window.contains(sigma) == inside);
          CHECK(window.contains(std::sqrt(sigma * std::max(next, 1e-3))) == inside);
          CHECK(window.contains(sigma * (1.0 - 1e-15)) == inside);
          CHECK(window.contains(sigma * (1.0 + 1e-15)) == inside);
        }
      }
      CHECK_FALSE(plan.window(0.5, 0.5).contains(plan.steps.front().sigma));
    }
  }
}

TEST_CASE("a plan prints as a table and as JSON that a parser reads back") {
  const Schedule schedule;
  const Plan plan = make_plan({14.0, 1.0, 0.0}, schedule, {1.5});
  const std::string table = to_table(plan, {"structure", "texture"});
  CHECK(table.find("structure\n") < table.find("texture\n"));
  const auto json = nlohmann::json::parse(to_json(plan, {"struc\"ture\n", "texture"}));
  CHECK(json["boundaries"] == std::vector<double>{1.5});
  REQUIRE(json["steps"].size() == 2);
  CHECK(json["steps"][0]["expert"] == "struc\"ture\n");
  CHECK(json["steps"][1]["sigma"].get<double>() == 1.0);
  CHECK(json["steps"][0]["t_index"].get<double>() == plan.steps[0].t_index);
  CHECK(nlohmann::json::parse(to_json(plan))["steps"][1]["expert"] == "1");
}

TEST_CASE("steps reuse features between whole ones, and never the first of an expert") {
  const Schedule schedule;
  const auto marks = [](const Plan& plan) {
    std::string text;
    for (const PlanStep& step : plan.steps) text += step.reuses_features ? 'r' : 'W';
    return text;
  };
  Plan plan = make_plan(make_sigmas("normal", schedule, 10), schedule, {schedule.sigma_of_t(500)});
  CHECK(plan.steps_of(0) == 5);
  const std::string table = to_table(plan), json = to_json(plan);
  mark_reuse(plan, 1);
  CHECK(marks(plan) == "WWWWWWWWWW");
  CHECK(to_table(plan) == table);
  CHECK(to_json(plan) == json);
  mark_reuse(plan, 3);
  CHECK(marks(plan) == "WrrWrWrrWr");
  CHECK(plan.whole_sigmas().size() == 4);
  CHECK(plan.whole_sigmas()[1] == plan.steps[3].sigma);
  CHECK(to_table(plan).find("reused") != std::string::npos);
  CHECK(nlohmann::json::parse(to_json(plan))["steps"][1]["reuses_features"] == true);
  mark_reuse(plan, 100, 0.2, 0.8);
  CHECK(marks(plan) == "WWrrrWrrWW");
}

TEST_CASE("boundaries that do not fit the experts are refused") {
  const Denoiser D = [](const Latents& x, double) { return x; };
  CHECK_THROWS_AS(route_by_sigma({D, D}, {}), Error);
  CHECK_THROWS_AS(route_by_sigma({D, D, D}, {1.0, 2.0}), Error);
  CHECK_THROWS_AS(route_by_sigma({D, D}, {-1.0}), Error);
}

}  // namespace
}  // namespace pangu::diffusion
