// Reads what trainings wrote: the loss while they ran (metrics.jsonl) and the loss by noise level
// at their end (loss_by_t.json).
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace pangu::eval {

struct LossAt {
  double t_index = 0, sigma = 0, loss = 0;
  bool operator==(const LossAt&) const = default;
};
struct LossOf {
  double step = 0, loss = 0, seconds = 0;
  bool operator==(const LossOf&) const = default;
};

struct TrainingRun {
  std::string name;               // name of its folder: "structure", "texture", ...
  std::vector<LossOf> curve;      // by step
  std::vector<LossAt> by_sigma;   // by t
  double samples_per_second = 0;  // the median of the run's own lines
};

// Reads every folder in `folder`, and `folder` itself, that holds one of the two files; sorted by
// name. Throws kBadInput if there is none, or naming the file and line that cannot be understood. A
// last line of metrics.jsonl that was cut while it was written is left out.
std::vector<TrainingRun> read_runs(const std::string& folder);

}  // namespace pangu::eval
