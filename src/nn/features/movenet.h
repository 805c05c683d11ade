// MoveNet SinglePose Lightning finds the 17 keypoints of a person (in COCO's order: nose, eyes,
// ears, shoulders, elbows, wrists, hips, knees, ankles, each left then right). It is no tracker;
// the caller chooses the part of a picture that it gets. Topology and decoding: the published
// graph, a CenterNet (Zhou et al. 2019) on MobileNetV2. Weights: tools/export_movenet.py.
#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <vector>

#include "nn/weights.h"

namespace pangu::nn {

inline constexpr int kCocoKeypoints = 17;

struct Keypoint {
  double x = 0, y = 0;  // shares of the input's width and height; may lie slightly outside [0,1]
  double score = 0;     // 0..1
};
using CocoPose = std::array<Keypoint, kCocoKeypoints>;

// A person, and how sure the network is of its centre.
struct FoundPerson {
  CocoPose pose;
  double score = 0;
};

// The network's outputs at each place of a grid with a quarter of the input's sides, each [1,C,h,w]
// f32.
struct PoseHeads {
  at::Tensor center;      // C = 1, logit: the middle of a person
  at::Tensor heatmap;     // C = 17, logit: a keypoint of anybody
  at::Tensor regression;  // C = 34: from a centre to its keypoints, (y, x) in places
  at::Tensor offset;      // C = 34: from a place to the keypoint in it, (y, x) in places
};

// Returns up to `most` (>= 1) people: peaks of the centre map above `least_score`, ordered by score
// weighted with nearness to the middle of the picture. The first person is always returned, as by
// the published graph.
std::vector<FoundPerson> decode_people(const PoseHeads& heads, int most, double least_score);

// Immutable; one object may serve many threads.
class MoveNet {
 public:
  inline static constexpr int64_t kInputPx = 192;  // side of the pictures that it was trained on
  inline static constexpr int64_t kMultiple = 32;  // sides of other inputs are multiples of it

  // Takes the names of tools/export_movenet.py, in any float dtype. Throws kBadInput naming what is
  // missing or misshapen.
  explicit MoveNet(const TensorMap& tensors);

  // image: [1,3,H,W] f32, RGB in [-1,1]; H and W multiples of kMultiple (kInternal error
  // otherwise).
  PoseHeads heads(const at::Tensor& image) const;

 private:
  struct Conv {
    at::Tensor weight, bias;  // undefined: there is no bias
    int64_t stride = 1;
    bool depthwise = false;
    at::Tensor operator()(at::Tensor x) const;
  };
  struct Block {
    Conv expand, depthwise, project;  // the first block has no `expand`
    bool residual = false;
  };
  struct Separable {
    Conv depthwise, pointwise, out;  // only heads have `out`
  };
  class Builder;

  Conv stem_, last_;
  std::vector<Block> blocks_;
  std::vector<Conv> laterals_;     // at 1/32, 1/16, 1/8, 1/4
  std::vector<Separable> merges_;  // at 1/16, 1/8, 1/4
  Separable center_, heatmap_, regression_, offset_;
};

}  // namespace pangu::nn
