#include "eval/probe.h"

#include <torch/optim.h>

#include "core/error.h"

namespace pangu::eval {
namespace {

constexpr double kSmallestScale = 1e-6;  // of a feature that never changes
constexpr int64_t kTopProbe = 5;

}  // namespace

Probe Probe::fit(const at::Tensor& features, const at::Tensor& labels, int64_t classes,
                 const ProbeOptions& options) {
  if (features.dim() != 2 || labels.dim() != 1 || features.size(0) != labels.size(0)) {
    throw Error(ErrorCode::kInternal, "probe: expected features [N,F] and labels [N]");
  }
  if (features.size(0) == 0 || classes < 2) {
    throw bad_input("probe", "pictures of at least two classes",
                    std::to_string(features.size(0)) + " pictures of " + std::to_string(classes));
  }
  if (labels.min().item<int64_t>() < 0 || labels.max().item<int64_t>() >= classes) {
    throw Error(ErrorCode::kInternal, "probe: a label outside of the classes");
  }
  Probe probe;
  probe.mean_ = features.mean(0);
  probe.scale_ = features.std(0, /*unbiased=*/false).clamp_min(kSmallestScale);
  const at::Tensor x = (features - probe.mean_) / probe.scale_;
  probe.weights_ = at::zeros({features.size(1), classes}).requires_grad_(true);
  probe.bias_ = at::zeros({classes}).requires_grad_(true);
  torch::optim::LBFGS optimizer({probe.weights_, probe.bias_}, torch::optim::LBFGSOptions(1.0)
                                                                   .max_iter(options.max_iterations)
                                                                   .line_search_fn("strong_wolfe"));
  at::AutoGradMode with_grad(true);
  optimizer.step([&] {
    optimizer.zero_grad();
    const at::Tensor scores = at::addmm(probe.bias_, x, probe.weights_);
    const at::Tensor loss =
        at::cross_entropy_loss(scores, labels) + 0.5 * options.l2 * probe.weights_.square().sum();
    loss.backward();
    return loss;
  });
  probe.weights_ = probe.weights_.detach();
  probe.bias_ = probe.bias_.detach();
  return probe;
}

at::Tensor Probe::log_probabilities(const at::Tensor& features) const {
  return at::addmm(bias_, (features - mean_) / scale_, weights_).log_softmax(1);
}

at::Tensor ranks(const at::Tensor& scores, const at::Tensor& labels) {
  const at::Tensor own = scores.gather(1, labels.unsqueeze(1));
  return (scores >= own).sum(1) - 1;
}

Accuracy accuracy(const at::Tensor& scores, const at::Tensor& labels) {
  if (labels.numel() == 0) return {};
  const at::Tensor rank = ranks(scores, labels);
  return {labels.size(0), (rank < 1).sum().item<int64_t>(),
          (rank < kTopProbe).sum().item<int64_t>()};
}

}  // namespace pangu::eval
