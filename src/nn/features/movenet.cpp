#include "nn/features/movenet.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "nn/frozen_weights.h"

namespace pangu::nn {
namespace {

// MobileNetV2 (Sandler et al. 2018): output channels and strides of its 17 blocks.
struct BackboneBlock {
  int64_t channels, stride;
};
constexpr BackboneBlock kBackbone[] = {{16, 1}, {24, 2},  {24, 1},  {32, 2},  {32, 1}, {32, 1},
                                       {64, 2}, {64, 1},  {64, 1},  {64, 1},  {96, 1}, {96, 1},
                                       {96, 1}, {160, 2}, {160, 1}, {160, 1}, {320, 1}};
constexpr int64_t kExpansion = 6, kStemChannels = 32, kLastChannels = 1280, kHeadChannels = 96;
// Blocks whose output the pyramid reads, from 1/16 to 1/4, and its channels there.
constexpr size_t kTaps[] = {9, 5, 2};
constexpr int64_t kPyramid[] = {64, 32, 24, 24};

// The package keeps 1/127.5 as f16.
constexpr double kInputScale = 127.5 * 0.007843017578125;
// Added to distances (in places of the grid), so that no place gets an infinite weight.
constexpr double kDistanceFloor = 1.8;

// Distance of each place of a grid [h,w] to (y, x), plus the floor.
at::Tensor distances(int64_t height, int64_t width, double y, double x) {
  const at::Tensor rows = at::arange(height, at::kFloat).view({-1, 1}) - y;
  const at::Tensor columns = at::arange(width, at::kFloat).view({1, -1}) - x;
  return at::sqrt(rows * rows + columns * columns) + kDistanceFloor;
}

struct Place {
  int64_t y, x;
};

Place greatest_of(const at::Tensor& map) {
  const int64_t index = map.argmax().item<int64_t>(), width = map.size(-1);
  return {index / width, index % width};
}

CocoPose pose_at(const PoseHeads& heads, const at::Tensor& heat, Place center) {
  const int64_t height = heat.size(1), width = heat.size(2);
  const auto regression = heads.regression.accessor<float, 4>();
  const auto offset = heads.offset.accessor<float, 4>();
  CocoPose pose;
  for (int k = 0; k < kCocoKeypoints; ++k) {
    // The centre's guess of where the keypoint is; then the strongest response weighted by nearness
    // to it.
    const double y = double(center.y) + regression[0][2 * k][center.y][center.x];
    const double x = double(center.x) + regression[0][2 * k + 1][center.y][center.x];
    const Place best = greatest_of(heat[k] / distances(height, width, y, x));
    pose[k] = {(double(best.x) + offset[0][2 * k + 1][best.y][best.x]) / double(width),
               (double(best.y) + offset[0][2 * k][best.y][best.x]) / double(height),
               heat[k][best.y][best.x].item<double>()};
  }
  return pose;
}

}  // namespace

std::vector<FoundPerson> decode_people(const PoseHeads& heads, int most, double least_score) {
  const at::NoGradGuard frozen;
  const at::Tensor heat = at::sigmoid(heads.heatmap[0]), center = at::sigmoid(heads.center[0][0]);
  const int64_t height = center.size(0), width = center.size(1);
  // The published graph measures distances to place (24, 24) of 48.
  const at::Tensor weighted =
      center / distances(height, width, double(height) / 2, double(width) / 2);
  // A peak is no lower than the places around it; only peaks are people.
  const at::Tensor around = at::max_pool2d(center.unsqueeze(0), {3, 3}, {1, 1}, {1, 1}).squeeze(0);
  at::Tensor left = at::where(center >= around, weighted, at::zeros_like(weighted));
  std::vector<FoundPerson> people;
  Place place = greatest_of(weighted);
  while (true) {
    const double score = center[place.y][place.x].item<double>();
    if (!people.empty() && !(score > least_score)) break;
    people.push_back({pose_at(heads, heat, place), score});
    if (people.size() >= static_cast<size_t>(most)) break;
    left[place.y][place.x] = 0;
    place = greatest_of(left);
    if (!(left[place.y][place.x].item<double>() > 0)) break;
  }
  return people;
}

at::Tensor MoveNet::Conv::operator()(at::Tensor x) const {
  const int64_t kernel = weight.size(2);
  // As in TensorFlow's "same", with an even input and stride 2 the one row of padding is at the
  // end.
  const int64_t pad = stride == 1 ? kernel / 2 : 0;
  if (stride == 2) x = at::constant_pad_nd(x, {0, 1, 0, 1});
  return at::conv2d(x, weight, bias, stride, pad, 1, depthwise ? x.size(1) : 1);
}

class MoveNet::Builder {
 public:
  explicit Builder(const TensorMap& tensors) : weights_(tensors) {}

  Conv dense(const std::string& name, int64_t in, int64_t out, int64_t kernel = 1,
             int64_t stride = 1) const {
    return {weights_.get(name + ".weight", {out, in, kernel, kernel}),
            weights_.get(name + ".bias", {out}), stride, false};
  }
  Conv depthwise(const std::string& name, int64_t channels, int64_t stride, bool with_bias) const {
    return {weights_.get(name + ".weight", {channels, 1, 3, 3}),
            with_bias ? weights_.get(name + ".bias", {channels}) : at::Tensor(), stride, true};
  }
  Separable separable(const std::string& name, int64_t in, int64_t out) const {
    return {depthwise(name + ".depthwise", in, 1, false), dense(name + ".pointwise", in, out), {}};
  }
  Separable head(const std::string& name, int64_t out) const {
    Separable made = separable(name, kPyramid[3], kHeadChannels);
    made.out = dense(name + ".out", kHeadChannels, out);
    return made;
  }

 private:
  FrozenWeights weights_;
};

MoveNet::MoveNet(const TensorMap& tensors) {
  const Builder build(tensors);
  stem_ = build.dense("backbone.stem", 3, kStemChannels, 3, 2);
  int64_t channels = kStemChannels;
  for (const auto& [out, stride] : kBackbone) {
    const std::string name = "backbone.block_" + std::to_string(blocks_.size());
    Block block;
    int64_t inner = channels;
    if (!blocks_.empty()) {
      inner = channels * kExpansion;
      block.expand = build.dense(name + ".expand", channels, inner);
    }
    block.depthwise = build.depthwise(name + ".depthwise", inner, stride, true);
    block.project = build.dense(name + ".project", inner, out);
    block.residual = stride == 1 && out == channels;
    blocks_.push_back(std::move(block));
    channels = out;
  }
  last_ = build.dense("backbone.last", channels, kLastChannels);
  laterals_.push_back(build.dense("pyramid.lateral_32", kLastChannels, kPyramid[0]));
  int level = 16;
  for (size_t i = 0; i < std::size(kTaps); ++i, level /= 2) {
    const std::string at = std::to_string(level);
    laterals_.push_back(
        build.dense("pyramid.lateral_" + at, kBackbone[kTaps[i]].channels, kPyramid[i]));
    merges_.push_back(build.separable("pyramid.merge_" + at, kPyramid[i], kPyramid[i + 1]));
  }
  center_ = build.head("center", 1);
  heatmap_ = build.head("heatmap", kCocoKeypoints);
  regression_ = build.head("regression", 2 * kCocoKeypoints);
  offset_ = build.head("offset", 2 * kCocoKeypoints);
}

PoseHeads MoveNet::heads(const at::Tensor& image) const {
  if (image.dim() != 4 || image.size(0) != 1 || image.size(1) != 3 || image.numel() == 0 ||
      image.size(2) % kMultiple != 0 || image.size(3) % kMultiple != 0) {
    throw Error(ErrorCode::kInternal, "MoveNet input must be [1,3,H,W], sides multiples of 32");
  }
  const at::NoGradGuard frozen;
  const auto relu6 = [](const at::Tensor& x) { return at::clamp(x, 0, 6); };
  at::Tensor x = relu6(stem_((image.to(at::kFloat) + 1.0) * kInputScale - 1.0));
  std::vector<at::Tensor> outputs;
  for (const Block& block : blocks_) {
    at::Tensor y = block.expand.weight.defined() ? relu6(block.expand(x)) : x;
    y = block.project(relu6(block.depthwise(y)));
    x = block.residual ? x + y : y;
    outputs.push_back(x);
  }
  x = laterals_[0](relu6(last_(x)));
  for (size_t i = 0; i < merges_.size(); ++i) {
    x = at::upsample_bilinear2d(x, {2 * x.size(2), 2 * x.size(3)}, /*align_corners=*/false);
    x = x + laterals_[i + 1](outputs[kTaps[i]]);
    x = at::relu(merges_[i].pointwise(merges_[i].depthwise(x)));
  }
  const auto head = [&](const Separable& s) {
    return s.out(at::relu(s.pointwise(s.depthwise(x)))).contiguous();
  };
  return {head(center_), head(heatmap_), head(regression_), head(offset_)};
}

}  // namespace pangu::nn
