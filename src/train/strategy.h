// A strategy of training as a list of stages, out of a TOML file. A stage is an ordinary training
// configuration: size, range of t, filter of the data, network, and the stage whose weights it goes
// on from. No strategy is known by name: time-decoupled training, Resolution Boost or a single
// model are different lists.
//
//   title = "Resolution Boost"
//   base = "base.toml"            # a training configuration, which every stage changes
//   tuning = [[], ["learning_rate=1e-3"]]
//   [[stage]]
//   name = "half"
//   share = 0.5                   # of the strategy's operations
//   resolution = 128
//   [[stage]]
//   name = "full"
//   share = 0.5
//   begin_from = "half"
//   resolution = 256
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "train/config.h"

namespace pangu::train {

struct Stage {
  std::string name;
  double share = 1;        // of the strategy's operations; all shares sum to 1
  std::string begin_from;  // an earlier stage, whose weights this one goes on from; empty: none
  TrainConfig config;      // the base's, with the stage's own keys
};

struct Strategy {
  std::string id;     // the file's name without its suffix
  std::string title;  // for people
  std::vector<Stage> stages;
  // Lists of assignments that a study tries before it trains the strategy in full.
  std::vector<std::vector<std::string>> tuning;

  // The stages whose networks draw, from most noise to least: those from which no other goes on.
  std::vector<size_t> drawn() const;
  // The stages that are trained one after another and end with `stage`, which is the last.
  std::vector<size_t> chain_of(size_t stage) const;
};

// assignments: "key=value" for every stage, or "STAGE.key=value" for one; `share` is a key of a
// stage too. Paths in a strategy's file are taken from its folder, those of assignments from the
// current one. Error kBadInput naming the file and what is wrong: an unknown key, a stage that goes
// on from none before it, or stages that draw whose ranges of t overlap or leave a gap.
Strategy open_strategy(const std::string& path, const std::vector<std::string>& assignments = {});

}  // namespace pangu::train
