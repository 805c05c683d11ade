// Compares VGG16 with torch::nn modules of the same random weights, and tests its input convention.
#include "nn/features/vgg.h"

#include <doctest/doctest.h>
#include <torch/nn.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "core/error.h"

namespace pangu::nn {
namespace {

// torchvision's `features` up to relu3_3: index -> (in, out) of each convolution.
const std::vector<std::array<int64_t, 3>> kConvs = {{0, 3, 64},    {2, 64, 64},    {5, 64, 128},
                                                    {7, 128, 128}, {10, 128, 256}, {12, 256, 256},
                                                    {14, 256, 256}};

TensorMap random_weights() {
  torch::manual_seed(5);
  TensorMap map;
  for (const auto& [index, in, out] : kConvs) {
    const std::string name = "features." + std::to_string(index);
    map[name + ".weight"] = at::randn({out, in, 3, 3}) * std::sqrt(2.0 / (9.0 * double(in)));
    map[name + ".bias"] = at::randn({out}) * 0.1;
  }
  return map;
}

TEST_CASE("features equal a sequence of torch modules numbered as torchvision numbers them") {
  const TensorMap map = random_weights();
  torch::nn::Sequential reference;
  for (const auto& [index, in, out] : kConvs) {
    if (index == 5 || index == 10) {
      reference->push_back(torch::nn::MaxPool2d(torch::nn::MaxPool2dOptions(2).stride(2)));
    }
    torch::nn::Conv2d conv(torch::nn::Conv2dOptions(in, out, 3).padding(1));
    const at::NoGradGuard no_grad;
    conv->weight.copy_(map.at("features." + std::to_string(index) + ".weight"));
    conv->bias.copy_(map.at("features." + std::to_string(index) + ".bias"));
    reference->push_back(conv);
    reference->push_back(torch::nn::ReLU());
  }
  const at::Tensor image = at::rand({2, 3, 16, 24}) * 2 - 1;
  const at::Tensor mean = at::tensor({122.67892F, 116.66877F, 104.00699F}).view({1, 3, 1, 1});
  const at::Tensor expected = reference->forward((image + 1) / 2 * 255 - mean);
  const auto found = Vgg16({.depth = 3}, map).features(image);
  REQUIRE(found.size() == 3);
  CHECK(found[0].sizes() == at::IntArrayRef({2, 64, 16, 24}));
  CHECK(found[1].sizes() == at::IntArrayRef({2, 128, 8, 12}));
  CHECK((found[2] - expected).abs().max().item<double>() <=
        1e-5 * expected.abs().max().item<double>());
}

TEST_CASE("gradients reach the picture and not the weights") {
  const TensorMap map = random_weights();
  const Vgg16 vgg({.depth = 2}, map);
  at::Tensor image = (at::rand({1, 3, 8, 8}) * 2 - 1).requires_grad_();
  vgg.features(image).back().square().mean().backward();
  CHECK(image.grad().abs().sum().item<double>() > 0);
  for (const auto& [name, tensor] : map) CHECK_FALSE(tensor.grad().defined());
}

TEST_CASE("a missing layer, a wrong depth and a picture without three channels are refused") {
  TensorMap map = random_weights();
  CHECK_THROWS_AS(Vgg16({.depth = 0}, map), Error);
  CHECK_THROWS_AS(Vgg16({.depth = 4}, map), Error);  // features.17 is not there
  const Vgg16 vgg({.depth = 3}, map);
  CHECK_THROWS_AS(vgg.features(at::zeros({1, 1, 8, 8})), Error);
  CHECK_THROWS_AS(vgg.features(at::zeros({1, 3, 2, 8})), Error);
}

}  // namespace
}  // namespace pangu::nn
