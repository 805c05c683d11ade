// What a strategy of training costs before anything is trained: pictures that it can use, samples
// and operations of every stage within a budget, operations of a drawn picture. Networks are known
// by callables, pictures by a histogram of sizes or by counts.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "train/strategy.h"

namespace pangu::train {

// What the arithmetic below asks of networks and data.
struct CostSources {
  // Operations, in 10^9, of one row of a stage's network on latents of side x side: forward alone,
  // and forward and backward.
  std::function<double(const Stage& stage, int64_t side)> forward_gflop, training_gflop;
  std::function<double(const Stage& stage)> parameters;
  // Numbers that a row of the stage's network keeps at most in training, on latents of side x side.
  std::function<double(const Stage& stage, int64_t side)> activations = {};
  // How many pictures a stage's filters admit.
  std::function<double(const Stage& stage)> pictures;
  int64_t downscale = 16;      // pixels a latent pixel, each way
  int64_t drawing_px = 256;    // side of a drawn picture
  int64_t drawing_steps = 20;  // of the sampler, evenly over t
  double rows_a_step = 2;      // forward rows in a step: 2 with guidance
};

struct StageCost {
  std::string name;
  double pictures = 0, samples = 0, gflop_a_sample = 0, gflop = 0;
  double epochs() const { return pictures > 0 ? samples / pictures : 0; }
};

struct StrategyCost {
  std::string id, title;
  std::vector<StageCost> stages;
  double pictures = 0;         // the most that one of the stages can use
  double parameters = 0;       // of the networks that draw together
  double trained_at_once = 0;  // parameters of the largest network, which one machine holds
  double gflop_a_picture = 0;
  double gflop() const;
};

// The side of the latents that a stage trains on, in latent pixels: its crop, or its resolution.
int64_t latent_side(const TrainConfig& config, int64_t downscale);

// Samples of every stage for a budget of operations (10^9) that the stages' shares divide.
StrategyCost cost_of_budget(const Strategy& strategy, const CostSources& sources, double gflop);
// Every stage sees the same number of samples.
StrategyCost cost_of_samples(const Strategy& strategy, const CostSources& sources, double samples);
// Every stage sees its own pictures this many times.
StrategyCost cost_of_epochs(const Strategy& strategy, const CostSources& sources, double epochs);

// Steps of every stage at `point`, a share of the budget: each chain of stages is that far along
// its own operations, its stages one after another, and has begun. all_steps: of the whole budget;
// gflop: of one step of each stage.
std::vector<int64_t> steps_at(const Strategy& strategy, const std::vector<int64_t>& all_steps,
                              const std::vector<double>& gflop, double point);

}  // namespace pangu::train
