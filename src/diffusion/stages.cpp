#include "diffusion/stages.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/number.h"
#include "diffusion/enum_names.h"

namespace pangu::diffusion {
namespace {

constexpr EnumName<Handoff> kHandoffNames[] = {
    {Handoff::kFreshNoise, "fresh"},
    {Handoff::kKeepNoise, "keep"},
    {Handoff::kNaive, "naive"},
};

void check_stages(const std::vector<Stage>& stages) {
  if (stages.empty()) throw bad_input("stages", "one or more", "none");
  for (size_t i = 0; i + 1 < stages.size(); ++i) {
    const double end = stages[i].sigmas.back(), start = stages[i + 1].sigmas.front();
    if (end != start) {
      throw bad_input("stage " + std::to_string(i + 2), "to begin at sigma " + std::to_string(end),
                      std::to_string(start));
    }
  }
}

Latents handed_over(const Stage& stage, const Latents& x, Handoff handoff) {
  if (handoff == Handoff::kNaive) return stage.carry(x);
  const double sigma = stage.sigmas.back();
  const Latents x0 = stage.denoise(x, sigma);
  Latents carried = stage.carry(x0);
  if (handoff == Handoff::kKeepNoise) return carried + (x - x0);
  return carried + stage.fresh_noise(carried) * sigma;
}

}  // namespace

Handoff handoff_from(const std::string& name) { return enum_from(kHandoffNames, "handoff", name); }
std::string to_string(Handoff handoff) { return enum_name(kHandoffNames, handoff); }

Latents sample_stages(const Sampler& sampler, const std::vector<Stage>& stages, Latents x,
                      Handoff handoff, const OnStep& on_step, const SamplerOptions& options) {
  check_stages(stages);
  size_t steps = 0, done = 0;
  for (const Stage& stage : stages) steps += stage.sigmas.size() - 1;
  for (size_t i = 0; i < stages.size(); ++i) {
    bool stopped = false;
    x = sampler.sample(
        stages[i].denoise, std::move(x), stages[i].sigmas, stages[i].noise,
        [&](const StepInfo& info) {
          stopped = on_step && !on_step({.step = done + info.step,
                                         .step_count = steps,
                                         .sigma = info.sigma,
                                         .sigma_next = info.sigma_next,
                                         .x = info.x,
                                         .x0 = info.x0});
          return !stopped;
        },
        options);
    if (stopped) return x;
    done += stages[i].sigmas.size() - 1;
    if (i + 1 < stages.size()) x = handed_over(stages[i], x, handoff);
  }
  return x;
}

std::vector<SigmaList> cut_at(const SigmaList& sigmas, const std::vector<double>& ends) {
  std::vector<SigmaList> lists = {{}};
  size_t at = 0;
  double before = sigmas.front();
  for (const double end : ends) {
    if (!(end < before) || !(end > sigmas.back())) {
      throw bad_input("stages",
                      "ends that fall, between sigma " + std::to_string(sigmas.front()) + " and " +
                          std::to_string(sigmas.back()),
                      std::to_string(end));
    }
    while (sigmas[at] > end) lists.back().push_back(sigmas[at++]);
    lists.back().push_back(end);
    lists.push_back({end});
    if (sigmas[at] == end) ++at;
    before = end;
  }
  lists.back().insert(lists.back().end(), sigmas.begin() + static_cast<long>(at), sigmas.end());
  return lists;
}

size_t step_of_share(const SigmaList& sigmas, double share) {
  constexpr double kRounding = 1e-9;
  const auto steps = static_cast<double>(sigmas.size() - 1);
  const double step = std::ceil(share * steps - kRounding);
  return static_cast<size_t>(std::clamp(step, 0.0, steps));
}

double sigma_from(const std::string& text, const Schedule& schedule, const SigmaList& sigmas) {
  const auto refused = [&](const std::string& found) {
    return bad_input("noise level", "t=, sigma=, snr= or step= and a number", found,
                     "for example t=500");
  };
  const size_t equals = text.find('=');
  if (equals == std::string::npos) throw refused("'" + text + "'");
  const std::string kind = text.substr(0, equals);
  const double value = number_of("noise level, " + kind, text.substr(equals + 1));
  double sigma = 0.0;
  if (kind == "t") {
    const auto last = static_cast<double>(schedule.num_train_timesteps() - 1);
    if (value < 0.0 || value > last) {
      throw bad_input("noise level", "t from 0 to " + std::to_string(int64_t(last)),
                      "'" + text + "'");
    }
    sigma = schedule.sigma_of_t(value);
  } else if (kind == "sigma") {
    sigma = value;
  } else if (kind == "snr") {
    sigma = 1.0 / std::sqrt(value);
  } else if (kind == "step") {
    if (value < 0.0 || value > 1.0) {
      throw bad_input("noise level", "a share of the steps from 0 to 1", "'" + text + "'");
    }
    const auto steps = static_cast<double>(sigmas.size() - 1);
    return sigmas[static_cast<size_t>(std::lround(value * steps))];
  } else {
    throw refused("'" + text + "'");
  }
  if (!(sigma > 0.0) || !std::isfinite(sigma)) {
    throw bad_input("noise level", "one above 0", "'" + text + "'");
  }
  return sigma;
}

}  // namespace pangu::diffusion
