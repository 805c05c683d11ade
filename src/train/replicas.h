// Threads that each run forward and backward of one replica, and the floating-point operations they
// spend.
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <vector>

#include "train/trainer.h"

namespace pangu::train {

class Replicas {
 public:
  // Modules share the first one's storage afterwards. threads: within one operator, a replica.
  Replicas(const std::vector<std::shared_ptr<torch::nn::Module>>& modules, int threads);
  ~Replicas();

  // Runs loss(slice) and backward of loss * scale on every replica at once; returns the sum of the
  // losses. Gradients add up in the parameters until gradients() are cleared. Rethrows the first
  // exception of a thread.
  double run(const LossFunction& loss, int64_t batch, int64_t batch_size, double scale);

  // Like run (the sum of losses goes to *sum); returns multiply-adds times two of convolutions and
  // matrix products.
  double count_flop(const LossFunction& loss, int64_t batch, int64_t batch_size, double scale,
                    double* sum);

  NamedTensors parameters() const;  // of the first replica
  std::vector<std::vector<at::Tensor>> gradients() const;
  void clear_gradients();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pangu::train
