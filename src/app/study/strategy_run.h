// Trains a strategy up to a point of its budget, stage by stage, by the ordinary training of a
// denoiser; and looks at the model that it has come to. Everything is in one folder, and goes on
// from what is there.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "study/strategy_study.h"
#include "train/strategy.h"

namespace pangu::app {

struct StrategyRun {
  train::Strategy strategy;        // with the settings of the run
  std::string folder;              // of the run
  std::vector<int64_t> all_steps;  // of every stage, for the whole budget
  std::function<bool()> wants_stop;
};

// What a point came to.
struct PointReached {
  std::string model;                       // folder to draw with
  std::vector<study::StageRecord> stages;  // that have begun
};

// Trains what is missing up to these steps. Throws Stopped, with checkpoints, if the run wants to
// stop.
PointReached train_to(const StrategyRun& run, const std::vector<int64_t>& steps);

// Mean squared errors of the model's predictions at the same t of every model, on pictures of the
// split `heldout_pair` at full size. config: of a stage; gives data, encoders and precision.
std::vector<study::LossAtSigma> held_out_losses(const train::TrainConfig& config,
                                                const std::string& model);

}  // namespace pangu::app
