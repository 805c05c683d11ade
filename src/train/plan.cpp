#include "train/plan.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "core/error.h"

namespace pangu::train {
namespace {

namespace fs = std::filesystem;

constexpr double kGigabyte = 1e9;
constexpr size_t kClaims = 3;

void resolve(const fs::path& folder, std::vector<std::string>& paths_) {
  for (std::string& path : paths_) path = (folder / path).lexically_normal().string();
}

void check_plan(const PlanConfig& plan, const TomlReader& reader) {
  if (plan.strategies.empty()) throw bad_input(reader.where("strategies"), "a TOML file", "none");
  plan.histogram().validate(reader.where("native_sizes"));
  if (plan.train_data_dir.empty() && (plan.pictures < 1 || plan.histogram().empty())) {
    throw bad_input(reader.where("pictures"),
                    "their number and a histogram of sizes, or train_data_dir", "neither");
  }
  const int budgets =
      (plan.budget_gflop > 0) + (plan.budget_samples > 0) + (plan.budget_epochs > 0);
  if (budgets != 1) {
    throw bad_input(reader.where("budget_gflop"),
                    "one of budget_gflop, budget_samples and budget_epochs",
                    std::to_string(budgets) + " of them");
  }
  if (plan.hardware.size() != plan.hardware_gflop_per_second.size() ||
      plan.hardware.size() != plan.hardware_memory_gb.size()) {
    throw bad_input(reader.where("hardware"), "a speed and a memory for every name",
                    std::to_string(plan.hardware.size()) + " names, " +
                        std::to_string(plan.hardware_gflop_per_second.size()) + " speeds, " +
                        std::to_string(plan.hardware_memory_gb.size()) + " memories");
  }
  for (const int64_t speed : plan.hardware_gflop_per_second) {
    if (speed < 1) {
      throw bad_input(reader.where("hardware_gflop_per_second"), "at least 1",
                      std::to_string(speed));
    }
  }
  for (const int64_t devices : plan.devices) {
    if (devices < 1)
      throw bad_input(reader.where("devices"), "at least 1", std::to_string(devices));
  }
  for (const int64_t stage : plan.zero_stages) {
    if (stage < 0 || stage > 2) {
      throw bad_input(reader.where("zero_stages"), "0, 1 or 2", std::to_string(stage));
    }
  }
  if (!plan.claimed_percent.empty() && plan.claimed_percent.size() != kClaims) {
    throw bad_input(reader.where("claimed_percent"), "three numbers: pictures, training, drawing",
                    std::to_string(plan.claimed_percent.size()));
  }
  const bool known =
      std::any_of(plan.strategies.begin(), plan.strategies.end(),
                  [&](const std::string& path) { return fs::path(path).stem() == plan.reference; });
  if (!plan.reference.empty() && !known) {
    throw bad_input(reader.where("reference"), "one of the strategies", "'" + plan.reference + "'");
  }
}

// Whether its largest network can be trained on one device of one of the machines.
bool fits(const PlanConfig& plan, const StrategyCost& cost) {
  if (plan.hardware.empty()) return true;
  const int64_t most =
      *std::max_element(plan.hardware_memory_gb.begin(), plan.hardware_memory_gb.end());
  return cost.trained_at_once * kTrainingBytesAParameter <= static_cast<double>(most) * kGigabyte;
}

std::string rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

}  // namespace

PlanConfig PlanConfig::open(const std::string& path) {
  TomlReader reader = TomlReader::open(path);
  PlanConfig plan;
  plan.visit_fields(reader);
  reader.finish();
  check_plan(plan, reader);
  const fs::path folder = fs::path(path).parent_path();
  resolve(folder, plan.strategies);
  resolve(folder, plan.train_data_dir);
  return plan;
}

Recommendation recommendation(const PlanConfig& plan, const std::vector<StrategyCost>& costs) {
  std::vector<size_t> able;
  for (size_t i = 0; i < costs.size(); ++i) {
    if (fits(plan, costs[i])) able.push_back(i);
  }
  Recommendation best;
  if (able.empty()) {
    const auto smallest = std::min_element(costs.begin(), costs.end(), [](auto& a, auto& b) {
      return a.trained_at_once < b.trained_at_once;
    });
    best.strategy = static_cast<size_t>(smallest - costs.begin());
    best.why =
        "no strategy fits into one device's memory; this one's largest network is the "
        "smallest";
    return best;
  }
  const auto better = [&](size_t a, size_t b) {
    const StrategyCost &x = costs[a], &y = costs[b];
    if (x.pictures != y.pictures) return x.pictures > y.pictures;
    if (x.gflop_a_picture != y.gflop_a_picture) return x.gflop_a_picture < y.gflop_a_picture;
    return x.trained_at_once < y.trained_at_once;
  };
  best.strategy = *std::min_element(able.begin(), able.end(), better);
  const StrategyCost& chosen = costs[best.strategy];
  best.why = "uses " + rounded(chosen.pictures) + " pictures and " +
             rounded(chosen.gflop_a_picture) + " GFLOP for a drawn one";
  const bool same_data = std::all_of(costs.begin(), costs.end(), [&](const StrategyCost& cost) {
    return cost.pictures >= chosen.pictures;
  });
  if (same_data) best.why += "; every strategy uses as many, so that the data decide nothing";
  const bool seen_once = std::any_of(chosen.stages.begin(), chosen.stages.end(),
                                     [](const StageCost& stage) { return stage.epochs() >= 1; });
  if (!seen_once) {
    best.why +=
        "; the budget ends before a stage has seen its pictures once, so that more of them "
        "bring nothing yet";
  }
  return best;
}

std::vector<DeviceCost> device_costs(const PlanConfig& plan, const Strategy& strategy,
                                     const StrategyCost& cost, const CostSources& sources) {
  std::vector<DeviceCost> costs;
  for (size_t i = 0; i < strategy.stages.size(); ++i) {
    const Stage& stage = strategy.stages[i];
    const double parameters = sources.parameters(stage);
    const double activations =
        static_cast<double>(plan.samples_a_device) *
        sources.activations(stage, latent_side(stage.config, sources.downscale)) *
        parameter_bytes(stage.config, {}).weight;
    for (const int64_t devices : plan.devices) {
      for (const int64_t zero : plan.zero_stages) {
        const Sharing sharing{devices, static_cast<int>(zero)};
        if (!can_share(stage.config, sharing)) continue;
        DeviceCost& one = costs.emplace_back();
        one.stage = stage.name;
        one.sharing = sharing;
        one.state_bytes = state_bytes(stage.config, parameters, sharing);
        one.activation_bytes = activations;
        one.sent_bytes = sent_bytes(stage.config, parameters, sharing);
        for (const int64_t speed : plan.hardware_gflop_per_second) {
          one.hours.push_back(hours_of(cost.stages[i].gflop, static_cast<double>(speed), sharing,
                                       plan.many_devices_overhead));
        }
      }
    }
  }
  return costs;
}

std::string percent_against(double value, double reference) {
  char text[32];
  std::snprintf(text, sizeof text, "%+.1f %%", 100 * (value / reference - 1));
  return text;
}

}  // namespace pangu::train
