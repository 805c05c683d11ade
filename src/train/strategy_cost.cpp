#include "train/strategy_cost.h"

#include <algorithm>
#include <cmath>

namespace pangu::train {
namespace {

// Everything of a stage but its samples.
StageCost stage_cost(const Stage& stage, const CostSources& sources) {
  StageCost cost;
  cost.name = stage.name;
  cost.pictures = sources.pictures(stage);
  cost.gflop_a_sample = sources.training_gflop(stage, latent_side(stage.config, sources.downscale));
  return cost;
}

template <class SamplesOf>
StrategyCost cost_with(const Strategy& strategy, const CostSources& sources,
                       const SamplesOf& samples_of) {
  StrategyCost all;
  all.id = strategy.id;
  all.title = strategy.title;
  for (const Stage& stage : strategy.stages) {
    StageCost cost = stage_cost(stage, sources);
    cost.samples = samples_of(stage, cost);
    cost.gflop = cost.samples * cost.gflop_a_sample;
    all.pictures = std::max(all.pictures, cost.pictures);
    all.trained_at_once = std::max(all.trained_at_once, sources.parameters(stage));
    all.stages.push_back(cost);
  }
  const TrainConfig whole;
  const double times = static_cast<double>(whole.max_timestep - whole.min_timestep);
  for (const size_t i : strategy.drawn()) {
    const Stage& stage = strategy.stages[i];
    const double range = static_cast<double>(stage.config.max_timestep - stage.config.min_timestep);
    all.parameters += sources.parameters(stage);
    all.gflop_a_picture += static_cast<double>(sources.drawing_steps) * range / times *
                           sources.rows_a_step *
                           sources.forward_gflop(stage, sources.drawing_px / sources.downscale);
  }
  return all;
}

}  // namespace

double StrategyCost::gflop() const {
  double sum = 0;
  for (const StageCost& stage : stages) sum += stage.gflop;
  return sum;
}

int64_t latent_side(const TrainConfig& config, int64_t downscale) {
  return config.latent_crop > 0 ? config.latent_crop : config.resolution / downscale;
}

StrategyCost cost_of_budget(const Strategy& strategy, const CostSources& sources, double gflop) {
  return cost_with(strategy, sources, [&](const Stage& stage, const StageCost& cost) {
    return stage.share * gflop / cost.gflop_a_sample;
  });
}

StrategyCost cost_of_samples(const Strategy& strategy, const CostSources& sources, double samples) {
  return cost_with(strategy, sources, [&](const Stage&, const StageCost&) { return samples; });
}

StrategyCost cost_of_epochs(const Strategy& strategy, const CostSources& sources, double epochs) {
  return cost_with(strategy, sources,
                   [&](const Stage&, const StageCost& cost) { return epochs * cost.pictures; });
}

std::vector<int64_t> steps_at(const Strategy& strategy, const std::vector<int64_t>& all_steps,
                              const std::vector<double>& gflop, double point) {
  std::vector<int64_t> steps(all_steps.size(), 0);
  for (const size_t end : strategy.drawn()) {
    const std::vector<size_t> chain = strategy.chain_of(end);
    double left = 0;
    for (const size_t stage : chain) left += point * double(all_steps[stage]) * gflop[stage];
    for (const size_t stage : chain) {
      const auto affordable = static_cast<int64_t>(std::llround(left / gflop[stage]));
      steps[stage] = std::clamp<int64_t>(affordable, 0, all_steps[stage]);
      left -= double(steps[stage]) * gflop[stage];
    }
    steps[chain.front()] = std::max<int64_t>(1, steps[chain.front()]);
  }
  return steps;
}

}  // namespace pangu::train
