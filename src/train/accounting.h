// What a training cost and what a picture drawn with its model costs: the numbers by which
// strategies of training are compared. Operations are of convolutions, matrix products and
// attention, computed from shapes (nn/unet/cost.h), so that they depend on no machine; the count of
// the operators that really ran stands beside them.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>

namespace pangu::train {

struct Accounting {
  int64_t pictures = 0;         // that the run's filters admit
  int64_t pictures_in_all = 0;  // of the training split, admitted or not
  int64_t parameters = 0;       // of what is trained
  int64_t steps = 0, samples = 0;
  // Forward and backward of one sample, and the optimiser's products of one step, in 10^9.
  double gflop_a_sample = 0, optimizer_gflop_a_step = 0;
  double counted_gflop_a_sample = 0;  // by the operators of one batch; 0: none was counted
  double seconds = 0;                 // of training, on the wall
  double cpu_seconds = 0;             // the same of all threads together
  int64_t peak_memory_bytes = 0;      // resident, of the whole process since the run began
  // Of the denoisers for one picture as the model draws it when nothing else is asked for.
  double gflop_a_picture = 0, seconds_a_picture = 0;

  double gflop() const {
    return gflop_a_sample * static_cast<double>(samples) +
           optimizer_gflop_a_step * static_cast<double>(steps);
  }
  double epochs() const {
    return pictures > 0 ? static_cast<double>(samples) / static_cast<double>(pictures) : 0;
  }
};

nlohmann::json to_json(const Accounting& accounting);
// Keys that are absent stay 0.
Accounting accounting_from(const nlohmann::json& json);

// Time of this process on all its threads.
double process_cpu_seconds();

// The most memory that this process had resident at once since restart_peak_memory(), or since it
// began where the system cannot restart the count (Linux can).
int64_t peak_memory_bytes();
void restart_peak_memory();

}  // namespace pangu::train
