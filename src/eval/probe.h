// A probe: multinomial logistic regression on frozen features, which says what a picture shows by
// the standards of real pictures. Features are standardised and weights have an L2 penalty, so the
// optimum is unique; L-BFGS finds it, and the same data gives the same probe. It knows no picture.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pangu::eval {

struct ProbeOptions {
  // The factor of half the squared weights, which are added to the mean negative log-likelihood of
  // a row.
  double l2 = 1e-3;
  int max_iterations = 60;
};

class Probe {
 public:
  // features: [N,F] f32, labels: [N] i64 in [0, classes). Throws kBadInput if there is no row or
  // only one class; throws kInternal if the shapes contradict.
  static Probe fit(const at::Tensor& features, const at::Tensor& labels, int64_t classes,
                   const ProbeOptions& options = {});

  // features: [N,F] -> [N,classes] f32.
  at::Tensor log_probabilities(const at::Tensor& features) const;

 private:
  at::Tensor mean_, scale_;    // [F]
  at::Tensor weights_, bias_;  // [F,classes], [classes]
};

// Counts how often the label is the best guess, and how often it is among the best five. The share
// of an empty set is 0.
struct Accuracy {
  int64_t count = 0, top1 = 0, top5 = 0;
  double top1_share() const { return count ? double(top1) / double(count) : 0; }
  double top5_share() const { return count ? double(top5) / double(count) : 0; }
  bool operator==(const Accuracy&) const = default;
};

// scores: [N,C], labels: [N] i64. A label's rank is the number of other classes that score at least
// as high.
at::Tensor ranks(const at::Tensor& scores, const at::Tensor& labels);  // [N] i64, 0 is best
Accuracy accuracy(const at::Tensor& scores, const at::Tensor& labels);

}  // namespace pangu::eval
