// Threads that each run forward and backward of one replica, and the floating-point operations they
// spend.
#pragma once
#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <vector>

#include "train/trainer.h"

namespace pangu::train {

// Samples [first, first + count) of micro-batch `batch`: those of this process.
struct BatchPart {
  int64_t batch = 0, first = 0, count = 0;
};

class Replicas {
 public:
  // Modules share the first one's storage afterwards. threads: within one operator, a replica.
  Replicas(const std::vector<std::shared_ptr<torch::nn::Module>>& modules, int threads);
  ~Replicas();

  // Runs loss(slice) and backward of loss * scale on every replica at once; returns the sum of the
  // losses. Gradients add up in the parameters until gradients() are cleared. Rethrows the first
  // exception of a thread.
  // on_done: called by each replica's thread at its end, with its number.
  double run(const LossFunction& loss, const BatchPart& part, double scale,
             const std::function<void(int)>& on_done = nullptr);

  // Like run (the sum of losses goes to *sum); returns multiply-adds times two of convolutions and
  // matrix products.
  double count_flop(const LossFunction& loss, const BatchPart& part, double scale, double* sum,
                    const std::function<void(int)>& on_done = nullptr);

  int64_t count() const;
  NamedTensors parameters() const;                             // of the first replica
  const std::vector<std::vector<at::Tensor>>& leaves() const;  // [replica][parameter]
  std::vector<std::vector<at::Tensor>> gradients() const;
  void clear_gradients();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pangu::train
