// Features of a network's deeper layers used again in later steps (DeepCache: Ma, Fang and Wang
// 2023, arXiv 2312.00858), from the request's words to what each forward is told. Which steps do it
// is in the plan (diffusion::mark_reuse); how a UNet does it is in nn/unet/deep_features.h.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/experts.h"
#include "nn/unet/deep_features.h"
#include "pipeline/request.h"

namespace pangu::pipeline {

// What Request::reuse_features says.
struct FeatureReuse {
  int interval = 1;  // one whole forward in so many steps; 1: every one is whole
  // nn::DeepFeatures::depth: skip states that every step computes. Unset:
  // RequestRules::reuse_depth.
  std::optional<int> depth = {};
  // 0: features are taken as they were. 1: they are extrapolated in the time index from those of
  // the last two whole forwards (TaylorSeer: Liu et al. 2025, arXiv 2503.06923). Unset: 1, but 0
  // for a sampler that adds noise, which features follow and extrapolation enlarges.
  std::optional<int> order = {};
  double from = 0.0, to = 1.0;  // share of the steps in which features are reused
  bool operator==(const FeatureReuse&) const = default;
};

// "off", "on" (an interval of 2, which was measured to be good: docs/drawing.md), or
// "INTERVAL[,depth=D][,order=O][,from=A][,to=B]". Throws kBadInput for anything else and for
// numbers out of range.
FeatureReuse feature_reuse_from(const std::string& text);

// The same for a resolved request, with nothing unset. Throws kBadInput if the model's networks
// have no deep part of that depth, or none at all.
FeatureReuse reuse_of(const Request& request, const RequestRules& rules);

// Marks the steps of a plan that reuse features, as the request says it.
void mark_reuse(diffusion::Plan& plan, const Request& request);

// What features depend on beside the latent, the time and the row: the set of prompts, and the
// ControlNets that act. Features of another situation are never used.
using Situation = std::vector<size_t>;

// The deep features of one expert during one drawing of one batch. Between two noise levels at
// which the plan computes the whole network, the first forward is whole and the others use its
// features, however many calls a sampler makes in a step. Rows of guidance have features of their
// own: a forward of fewer rows than the last whole one takes those of its rows, and one with a row
// that the last whole one did not have is whole.
class KeptFeatures {
 public:
  // REQUIRES: nothing of `reuse` is unset.
  KeptFeatures(const FeatureReuse& reuse, const diffusion::Plan& plan);

  // What a forward at this level is told: deep features to use, or that it shall store them.
  // rows: the rows of guidance, as diffusion::BatchedNet has them.
  nn::DeepFeatures at(double sigma, double t_index, const std::vector<int>& rows,
                      const Situation& situation) const;
  // Keeps what a whole forward, told the same, has stored.
  void keep(const nn::DeepFeatures& computed, double sigma, double t_index,
            const std::vector<int>& rows, const Situation& situation);

 private:
  struct Kept {
    double t_index = 0.0;
    std::vector<int> rows;
    at::Tensor state;  // [rows * B,C,h,w]
  };
  struct Series {
    size_t interval = 0;     // number of the interval of noise levels in which it was computed
    std::vector<Kept> last;  // of at most two whole forwards, the newest first
  };
  size_t interval_of(double sigma) const;

  FeatureReuse reuse_;
  diffusion::SigmaList whole_sigmas_;
  std::map<Situation, Series> series_;
};

}  // namespace pangu::pipeline
