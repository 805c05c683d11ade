// Routes by noise level, and makes the plan of one drawing.
#include "diffusion/experts.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "core/error.h"

namespace pangu::diffusion {
namespace {

void check_boundaries(const std::vector<double>& boundaries) {
  for (size_t i = 0; i < boundaries.size(); ++i) {
    const bool ordered = i == 0 || boundaries[i] <= boundaries[i - 1];
    if (!(boundaries[i] > 0.0) || !ordered) {
      throw bad_input("expert boundaries", "sigmas above 0, none above the one before it",
                      to_string(boundaries));
    }
  }
}

std::string expert_name(size_t expert, const std::vector<std::string>& names) {
  return expert < names.size() ? names[expert] : std::to_string(expert);
}

std::string number(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string json_string(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      quoted += escape;
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace

size_t expert_of_sigma(const std::vector<double>& boundaries, double sigma) {
  size_t expert = 0;
  while (expert < boundaries.size() && sigma < boundaries[expert]) ++expert;
  return expert;
}

Denoiser route_by_sigma(std::vector<Denoiser> experts, std::vector<double> boundaries) {
  if (experts.size() != boundaries.size() + 1) {
    throw bad_input("experts", std::to_string(boundaries.size() + 1) + ", one more than boundaries",
                    std::to_string(experts.size()));
  }
  check_boundaries(boundaries);
  return [experts = std::move(experts), boundaries = std::move(boundaries)](const Latents& x,
                                                                            double sigma) {
    return experts[expert_of_sigma(boundaries, sigma)](x, sigma);
  };
}

SigmaList Plan::sigmas() const {
  SigmaList list;
  for (const PlanStep& step : steps) list.push_back(step.sigma);
  if (!steps.empty()) list.push_back(steps.back().sigma_next);
  return list;
}

size_t Plan::steps_of(size_t expert) const {
  return static_cast<size_t>(std::count_if(
      steps.begin(), steps.end(), [expert](const PlanStep& s) { return s.expert == expert; }));
}

SigmaList Plan::whole_sigmas() const {
  SigmaList list;
  for (const PlanStep& step : steps) {
    if (!step.reuses_features) list.push_back(step.sigma);
  }
  return list;
}

SigmaWindow Plan::window(double from, double to) const {
  const auto count = static_cast<double>(steps.size());
  SigmaWindow window{0.0, 0.0};
  for (size_t i = 0; i < steps.size(); ++i) {
    if (static_cast<double>(i) / count < from || static_cast<double>(i + 1) / count > to) continue;
    if (window.high == 0.0) window.high = i == 0 ? HUGE_VAL : just_above(steps[i].sigma);
    window.low = i + 1 == steps.size() ? 0.0 : just_above(steps[i].sigma_next);
  }
  return window;
}

Plan make_plan(const SigmaList& sigmas, const Schedule& schedule, std::vector<double> boundaries,
               bool lag_switch) {
  check_boundaries(boundaries);
  if (sigmas.size() < 2) throw bad_input("sigmas", "2 or more", std::to_string(sigmas.size()));
  if (lag_switch) {
    for (double& boundary : boundaries) {
      const auto first_below = std::find_if(sigmas.begin(), sigmas.end() - 1,
                                            [boundary](double sigma) { return sigma < boundary; });
      // The first step has no step before it to lag behind.
      if (first_below != sigmas.end() - 1 && first_below != sigmas.begin()) boundary = *first_below;
    }
  }
  Plan plan;
  plan.boundaries = std::move(boundaries);
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    plan.steps.push_back({sigmas[i], sigmas[i + 1], schedule.t_of_sigma(sigmas[i]),
                          expert_of_sigma(plan.boundaries, sigmas[i])});
  }
  return plan;
}

void mark_reuse(Plan& plan, int interval, double from, double to) {
  const SigmaWindow window = plan.window(from, to);
  int since_whole = 0;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    PlanStep& step = plan.steps[i];
    const bool is_first = i == 0 || step.expert != plan.steps[i - 1].expert;
    step.reuses_features = !is_first && since_whole + 1 < interval && window.contains(step.sigma);
    since_whole = step.reuses_features ? since_whole + 1 : 0;
  }
}

std::string to_table(const Plan& plan, const std::vector<std::string>& names) {
  const bool has_reuse = plan.whole_sigmas().size() < plan.steps.size();
  std::string table = "step      t_index       sigma        next  ";
  table += has_reuse ? "features  expert\n" : "expert\n";
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const PlanStep& step = plan.steps[i];
    table += number("%4.0f", static_cast<double>(i + 1)) + number("  %11.4f", step.t_index) +
             number("  %10.6g", step.sigma) + number("  %10.6g", step.sigma_next) + "  ";
    if (has_reuse) table += step.reuses_features ? "reused    " : "computed  ";
    table += expert_name(step.expert, names) + "\n";
  }
  return table;
}

std::string to_json(const Plan& plan, const std::vector<std::string>& names) {
  std::string json = "{\"boundaries\":[";
  for (size_t i = 0; i < plan.boundaries.size(); ++i) {
    json += number(i == 0 ? "%.17g" : ",%.17g", plan.boundaries[i]);
  }
  json += "],\"steps\":[";
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const PlanStep& step = plan.steps[i];
    json += std::string(i == 0 ? "" : ",") + "{\"step\":" + std::to_string(i) +
            number(",\"sigma\":%.17g", step.sigma) +
            number(",\"sigma_next\":%.17g", step.sigma_next) +
            number(",\"t_index\":%.17g", step.t_index) +
            ",\"expert\":" + json_string(expert_name(step.expert, names)) +
            (step.reuses_features ? ",\"reuses_features\":true}" : "}");
  }
  return json + "]}";
}

}  // namespace pangu::diffusion
