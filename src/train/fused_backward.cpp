#include "train/fused_backward.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/types.h>

#include <chrono>
#include <memory>

namespace pangu::train {
namespace {

using FusedClock = std::chrono::steady_clock;

class StepHere : public torch::autograd::PostAccumulateGradHook {
 public:
  StepHere(Optimizer& optimizer, size_t i, double& seconds)
      : optimizer_(optimizer), i_(i), seconds_(seconds) {}

  void operator()(const torch::autograd::Variable& parameter) override {
    const auto start = FusedClock::now();
    optimizer_.step_parameter(i_, parameter.grad());
    parameter.mutable_grad() = at::Tensor();
    seconds_ += std::chrono::duration<double>(FusedClock::now() - start).count();
  }

 private:
  Optimizer& optimizer_;
  size_t i_;
  double& seconds_;
};

}  // namespace

FusedBackward::FusedBackward(Optimizer& optimizer, const NamedTensors& params) : params_(params) {
  for (size_t i = 0; i < params_.size(); ++i) {
    torch::autograd::impl::set_post_acc_grad_hooks(
        params_[i].second, std::make_unique<StepHere>(optimizer, i, seconds_));
  }
}

FusedBackward::~FusedBackward() {
  for (const auto& [name, parameter] : params_) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
  }
}

}  // namespace pangu::train
