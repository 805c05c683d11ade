// Names the graph's convolutions as torchvision does.
#include "nn/features/fid_inception.h"

#include <torch/types.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "nn/frozen_weights.h"

namespace pangu::nn {
namespace {

constexpr double kFidNormEps = 1e-3;
constexpr const char* kFirstConv = "Conv2d_1a_3x3";
constexpr const char* kClasses = "fc.weight";

// In the order in which the graph asks for them.
std::vector<std::string> conv_names() {
  std::vector<std::string> names = {kFirstConv, "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1",
                                    "Conv2d_4a_3x3"};
  const auto add = [&](const std::string& block, const std::vector<std::string>& branches) {
    for (const std::string& branch : branches) names.push_back(block + ".branch" + branch);
  };
  for (const char* block : {"Mixed_5b", "Mixed_5c", "Mixed_5d"}) {
    add(block, {"1x1", "5x5_1", "5x5_2", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3", "_pool"});
  }
  add("Mixed_6a", {"3x3", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3"});
  for (const char* block : {"Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"}) {
    add(block, {"1x1", "7x7_1", "7x7_2", "7x7_3", "7x7dbl_1", "7x7dbl_2", "7x7dbl_3", "7x7dbl_4",
                "7x7dbl_5", "_pool"});
  }
  add("Mixed_7a", {"3x3_1", "3x3_2", "7x7x3_1", "7x7x3_2", "7x7x3_3", "7x7x3_4"});
  for (const char* block : {"Mixed_7b", "Mixed_7c"}) {
    add(block, {"1x1", "3x3_1", "3x3_2a", "3x3_2b", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3a",
                "3x3dbl_3b", "_pool"});
  }
  return names;
}

}  // namespace

bool is_fid_inception(const TensorShapes& shapes) {
  const auto classes = shapes.find(kClasses);
  return shapes.contains(std::string(kFirstConv) + ".conv.weight") && classes != shapes.end() &&
         classes->second == std::vector<int64_t>{kFidClasses, kFidFeatures};
}

FidInception::FidInception(const TensorMap& tensors) {
  const FrozenWeights weights(tensors);
  const std::vector<std::string> names = conv_names();
  const auto read = [&](size_t index, const std::vector<int64_t>& shape) {
    const std::string norm = names.at(index) + ".bn.";
    const int64_t out = shape[0];
    const at::Tensor weight = weights.get(names[index] + ".conv.weight", shape);
    const at::Tensor gain = weights.get(norm + "weight", {out}) *
                            (weights.get(norm + "running_var", {out}) + kFidNormEps).rsqrt();
    const at::Tensor bias =
        weights.get(norm + "bias", {out}) - weights.get(norm + "running_mean", {out}) * gain;
    return std::pair(weight * gain.view({out, 1, 1, 1}), bias);
  };
  graph_ = inception::build(kFidInputPx, /*max_pool_at_last=*/true, read,
                            [](const char*, const at::Tensor&) { return true; });
  classes_ = weights.get(kClasses, {kFidClasses, kFidFeatures});
}

FidFeatures FidInception::features(const at::Tensor& pixels, const TraceFn& trace) const {
  if (pixels.dim() != 4 || pixels.size(1) != 3 || pixels.size(2) != kFidInputPx ||
      pixels.size(3) != kFidInputPx || pixels.size(0) == 0) {
    throw Error(ErrorCode::kInternal, "FidInception input must be a non-empty [B,3,299,299]");
  }
  const at::NoGradGuard frozen;
  const at::Tensor last = inception::run(graph_, pixels.to(at::kFloat),
                                         [&](const char* stage, const at::Tensor& found) {
                                           if (trace) trace(stage, found);
                                           return true;
                                         });
  FidFeatures out;
  out.pooled = last.mean({2, 3});
  out.logits = out.pooled.matmul(classes_.t());
  return out;
}

}  // namespace pangu::nn
