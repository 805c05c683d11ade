// Compares MoveNet with the embedded weights with the package's own graph, which
// tools/export_movenet.py --reference evaluated node by node (it agrees with TensorFlow.js to 1e-6
// in the keypoints).
#include "nn/features/movenet.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include "case.h"
#include "core/testing.h"
#include "tensors/safetensors.h"

namespace pangu::nn {
namespace {

constexpr double kBound = 1e-4;          // f32 sums in another order
constexpr double kKeypointBound = 3e-4;  // the graph divides by 48 with a factor kept as f16

TEST_CASE("MoveNet's heads and keypoints are those of the package's graph") {
  const TensorMap t = tensors::load_safetensors(std::string(kSourceDir) +
                                                "/tests/parity/data/movenet_reference.safetensors");
  const MoveNet net(
      tensors::load_safetensors(std::string(kSourceDir) + "/models/movenet/model.safetensors"));
  const at::Tensor picture = t.at("picture");  // [192,192,3] bytes
  const at::Tensor image = picture.permute({2, 0, 1}).unsqueeze(0).to(at::kFloat) / 127.5 - 1.0;
  const PoseHeads heads = net.heads(image);
  const auto some = [](const at::Tensor& head) {
    return head[0].slice(1, 0, std::nullopt, 6).slice(2, 0, std::nullopt, 6);
  };
  parity::Worst worst;
  worst.add("center", some(heads.center), t.at("center"));
  worst.add("heatmap", some(heads.heatmap), t.at("heatmap"));
  worst.add("regression", some(heads.regression), t.at("regression"));
  worst.add("offset", some(heads.offset), t.at("offset"));
  worst.report("movenet, heads", kBound);

  const CocoPose pose = decode_people(heads, 1, 0).front().pose;
  at::Tensor found = at::empty({kCocoKeypoints, 3}, at::kFloat);
  for (int k = 0; k < kCocoKeypoints; ++k) {
    found[k] = at::tensor({pose[k].y, pose[k].x, pose[k].score}).to(at::kFloat);
  }
  parity::Worst points;
  points.add("keypoints", found, t.at("keypoints"));
  points.report("movenet, keypoints", kKeypointBound);
}

}  // namespace
}  // namespace pangu::nn
