// The optimiser's step inside the backward pass: each parameter is stepped as soon as its gradient
// is whole, and the gradient is let go, so that gradients take no memory (Lv et al. 2024, Full
// Parameter Fine-tuning for Large Language Models with Limited Resources). Of one replica whose
// batch is a step; the gradient's norm is known only afterwards, so nothing can be clipped by it.
#pragma once
#include "train/optimizer.h"

namespace pangu::train {

class FusedBackward {
 public:
  // params: those of `optimizer`, in its order; leaves of the graphs that will be run backward.
  // While this lives, every backward pass must lie between optimizer.begin_step() and
  // finish_step().
  FusedBackward(Optimizer& optimizer, const NamedTensors& params);
  ~FusedBackward();
  FusedBackward(const FusedBackward&) = delete;
  FusedBackward& operator=(const FusedBackward&) = delete;

  double seconds() const { return seconds_; }  // that steps took inside of backward passes

 private:
  NamedTensors params_;
  double seconds_ = 0;
};

}  // namespace pangu::train
