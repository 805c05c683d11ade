#include "app/study/smoke.h"

#include <algorithm>
#include <cmath>

#include "app/study/network_costs.h"
#include "core/error.h"

namespace pangu::app {
namespace {

constexpr int kNames = 100'000;
constexpr double kExact = 1e-9;
// The deviation of a share counted over kNames names is 0.2 % of it at most.
constexpr double kByHash = 0.02;
// Widths are multiples of a head's and a group's channels.
constexpr double kByWidths = 0.02;

double share_by_hash(const data::SizeHistogram& sizes, int64_t px) {
  int count = 0;
  for (int i = 0; i < kNames; ++i) {
    count += data::native_size_px(sizes, "images/" + std::to_string(i)) >= px;
  }
  return double(count) / kNames;
}

// The least size of pictures that one of a strategy's stages admits.
int64_t least_size(const train::Strategy& strategy) {
  int64_t least = strategy.stages.front().config.min_image_size;
  for (const train::Stage& stage : strategy.stages) {
    least = std::min(least, stage.config.min_image_size);
  }
  return least;
}

}  // namespace

bool Identity::holds() const {
  return std::abs(found - expected) <= tolerance * std::abs(expected);
}

std::vector<Identity> identities_of(const study::StrategyStudy& study, const std::string& name) {
  const auto group = std::find_if(study.groups.begin(), study.groups.end(),
                                  [&](const study::StudyGroup& one) { return one.name == name; });
  if (group == study.groups.end()) throw bad_input("study", "a group '" + name + "'", "none");
  std::vector<train::Strategy> strategies;
  size_t reference = 0;
  for (const std::string& file : group->strategies) {
    strategies.push_back(train::open_strategy(file));
    if (strategies.back().id == study.reference) reference = strategies.size() - 1;
  }
  train::CostSources sources;
  add_network_costs(study.context_length, sources);
  sources.downscale = study.latent_downscale;
  sources.pictures = [&](const train::Stage& stage) {
    return data::share_of_at_least(group->sizes, stage.config.min_image_size);
  };
  const train::Strategy &first = strategies.front(), &other = strategies[reference];
  const train::StrategyCost one = cost_of_samples(first, sources, 1);
  const train::StrategyCost two = cost_of_samples(other, sources, 1);
  const double by_shares = data::share_of_at_least(group->sizes, least_size(first)) /
                           data::share_of_at_least(group->sizes, least_size(other));
  std::vector<Identity> all = {
      {"pictures of " + first.id + " by those of " + other.id + ", from the histogram", by_shares,
       one.pictures / two.pictures, kExact},
      {"the same from the hashes of " + std::to_string(kNames) + " names", by_shares,
       share_by_hash(group->sizes, least_size(first)) /
           share_by_hash(group->sizes, least_size(other)),
       kByHash},
      {"parameters of a step of " + first.id + " by those of " + other.id, 0.5,
       one.trained_at_once / two.trained_at_once, kByWidths},
      {"operations of a drawn picture, the same", 0.5, one.gflop_a_picture / two.gflop_a_picture,
       kByWidths},
      {"operations of training at the same samples a stage, the same", 0.5,
       one.gflop() / two.gflop(), kByWidths}};
  for (const train::Strategy& strategy : strategies) {
    all.push_back({"budget that the stages of " + strategy.id + " make up", study.budget_gflop,
                   cost_of_budget(strategy, sources, study.budget_gflop).gflop(), kExact});
  }
  return all;
}

}  // namespace pangu::app
