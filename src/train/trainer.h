// The loop of a training around one loss: slices of a batch on replicas that share their weights,
// one optimiser step, checkpoints, metrics. It knows no network and no data: both are behind the
// loss callable.
//
// On a CPU a small network gains little from many threads inside one operator, so every core runs
// its own replica (forward and backward on a slice of the batch, one thread each); gradients are
// summed in replica order, so that the result does not depend on timing. Processes of a world share
// every batch in the same way (train/data_parallel.h).
#pragma once
#include <torch/nn/module.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "dist/world.h"
#include "train/checkpoint_writer.h"
#include "train/config.h"
#include "train/fingerprint.h"
#include "train/optimizer.h"

namespace pangu::train {

// Samples [first, first + count) of micro-batch `batch` (0, 1, 2, ... over the whole run).
struct Slice {
  int replica;
  int64_t batch;
  int64_t first;
  int64_t count;
};

// Returns the SUM of the losses of the slice's samples, a scalar with gradients for the replica's
// parameters. Must be a pure function of the slice, the seed and the weights. Called from several
// threads at once, each with its own replica.
using LossFunction = std::function<at::Tensor(const Slice& slice)>;

// How long all replicas together waited for their data. Thread-safe.
class DataWait {
 public:
  void add(std::chrono::nanoseconds time) { nanoseconds_ += time.count(); }
  double seconds() const { return double(nanoseconds_) * 1e-9; }

 private:
  std::atomic<int64_t> nanoseconds_ = 0;
};

// Means of what a loss says beside its value, by name. Thread-safe.
class Gauges {
 public:
  // sum: over `count` samples.
  void add(const std::string& name, double sum, int64_t count);
  // The means since the last call; names that nothing was added to are missing.
  std::map<std::string, double> take();

 private:
  std::mutex mutex_;
  std::map<std::string, std::pair<double, int64_t>> sums_;
};

struct StepReport {
  int64_t step = 0, max_steps = 0;  // step: the number of steps done
  double loss = 0;                  // mean of a sample since the last report
  double learning_rate = 0, grad_norm = 0;
  double samples_per_second = 0;
  double gflop_per_second = 0;   // convolutions and matrix products, forward and backward
  double optimizer_share = 0;    // the optimiser's share of the time
  double data_wait_share = 0;    // the share of its time that a replica waited for its data
  double seconds = 0;            // time of training, over all runs
  double seconds_left = 0;       // to the last step or the end of the budget, whichever is nearer
  int64_t skipped = 0;           // steps whose gradient was not finite; nothing, or of a fused
                                 // backward pass those parameters alone, were left as they were
  double bytes_sent_a_step = 0;  // by this process to others (dist::World::bytes_sent)
  std::map<std::string, double> gauges;  // of this process's samples, since the last report
};

// Where several processes train together, only the first one's hooks are called; their answers are
// everyone's. stop is asked of all: one that says so stops all.
struct TrainHooks {
  std::function<void(const StepReport&)> on_log;   // every log_every_n_steps
  std::function<void(const SaveReport&)> on_save;  // at every checkpoint
  // Of the weights that on_sample and the result have. In bf16 those of a training in bf16 without
  // an average are its working parameters, and take no memory.
  at::ScalarType weights_type = at::kFloat;
  // Every sample_every_n_steps and at the end, with the averaged weights by name.
  std::function<void(int64_t step, const std::map<std::string, at::Tensor>&)> on_sample;
  std::function<bool()> stop;  // called after each step: true ends the run with a checkpoint
  // Returns the share of the learning rate's schedule that is done, 0 to 1, for runs that end by
  // time: the schedule takes the greater of this share and the steps' share. It is not called
  // during the warm-up.
  std::function<double()> progress;
  // The processes that train together, each on its part of every batch; null: this one trains
  // alone. All have the same configuration and see the same output_dir.
  std::shared_ptr<dist::World> world;
  // OptimizerOptions::rate_factor; empty: 1 for every parameter.
  std::function<double(const std::string& parameter)> rate_factor;
  std::shared_ptr<const DataWait> data_wait;  // of the loss, for the reports; or null
  std::shared_ptr<Gauges> gauges;             // the same
};

struct TrainResult {
  int64_t step = 0;
  bool finished = false;       // max_train_steps reached
  double seconds = 0;          // of training, over all runs
  double cpu_seconds = 0;      // the same of all threads together
  double data_wait_share = 0;  // of this run, as in its reports
  double gflop_a_batch = 0;    // counted by the operators of one batch; 0: none was counted
  // Averaged, by name, of hooks.weights_type; the first process has them.
  std::map<std::string, at::Tensor> weights;
};

// The number of a process's replicas: config.replicas, or, if that is 0, one for each core of a
// CPU, one on a GPU. Commands that take --threads set it themselves.
int64_t replica_count(const TrainConfig& config);

// Returns how many steps the checkpoint in output_dir has; 0 if there is none.
int64_t steps_done(const TrainConfig& config);

// Returns the bytes that a run needs: for its checkpoint, also while the next one is written beside
// it, and for its weights.
uint64_t bytes_on_disk(const TrainConfig& config, const torch::nn::Module& network);

// Throws kBadInput if output_dir has a checkpoint of other settings or inputs, or of another number
// of replicas; the error says what differs and how to go on. Of several processes the number, and
// that of their replicas, may change. train() checks this too; callers with much to do before it
// check early.
void check_resumable(const TrainConfig& config, const RunInputs& inputs, const TrainHooks& hooks);

// modules: replica_count(config) networks of one shape. They are converted to the training's
// precision and device and made to share the weights of the first. With `resume`, the run goes on
// from output_dir's checkpoint if there is one, after check_resumable; without it, a checkpoint is
// ignored and overwritten. All processes write checkpoints; the first one writes metrics.jsonl and,
// at every sample interval and at the end, metrics.html.
TrainResult train(const TrainConfig& config,
                  const std::vector<std::shared_ptr<torch::nn::Module>>& modules,
                  const LossFunction& loss, const RunInputs& inputs, const TrainHooks& hooks,
                  bool resume = true);

}  // namespace pangu::train
