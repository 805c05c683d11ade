// What each of several devices that share a training holds, sends and takes time for, out of the
// number of parameters: the arithmetic of docs/training.md's tables of memory and of zero_stage
// (Rajbhandari et al. 2020). What fills parameters and buckets up to whole parts
// (train/flat_layout.h) is left out: fewer than 256 numbers a parameter, and 256 a device in each
// bucket of 6.5 million.
#pragma once
#include <cstdint>

#include "train/config.h"

namespace pangu::train {

struct Sharing {
  int64_t devices = 1;
  int zero_stage = 0;
};

// Bytes of one parameter.
struct ParameterBytes {
  double weight = 0;     // that the network computes with; every device has all
  double sums = 0;       // of gradients; divided by zero_stage 2
  double optimizer = 0;  // masters, moments and average; divided by zero_stage 1 and 2
};
ParameterBytes parameter_bytes(const TrainConfig& config, const Sharing& sharing);

// Whether the optimiser goes with the stage (train/data_parallel.h).
bool can_share(const TrainConfig& config, const Sharing& sharing);

// Bytes that a device holds of a network, but for activations.
double state_bytes(const TrainConfig& config, double parameters, const Sharing& sharing);

// Bytes that a device sends in a step, by the formulas of rings (dist::World::bytes_sent).
double sent_bytes(const TrainConfig& config, double parameters, const Sharing& sharing);

// Hours of a training of so many operations. overhead: by what share several devices take longer
// than their number says; it is assumed, not computed.
double hours_of(double gflop, double gflop_per_second, const Sharing& sharing, double overhead);

}  // namespace pangu::train
