#include "nn/autoencoder/feature_discriminator.h"

#include <doctest/doctest.h>
#include <torch/types.h>
#include <torch/utils.h>

namespace pangu::nn {
namespace {

TEST_CASE("every layer has logits for its places, which see a neighbourhood of 5") {
  torch::manual_seed(1);
  const FeatureDiscriminator network(std::vector<int64_t>{6, 10}, 4);
  const std::vector<at::Tensor> features = {at::randn({1, 6, 12, 13}).requires_grad_(),
                                            at::randn({1, 10, 6, 7}).requires_grad_()};
  const std::vector<at::Tensor> logits = network->forward(features, /*learns=*/false);
  REQUIRE(logits.size() == 2);
  CHECK(logits[0].sizes() == at::IntArrayRef({1, 1, 12, 13}));
  CHECK(logits[1].sizes() == at::IntArrayRef({1, 1, 6, 7}));
  logits[0][0][0][6][6].backward();
  const at::Tensor seen = features[0].grad().abs().sum({0, 1}) > 0;
  CHECK(seen.sum().item<int64_t>() == 25);
  CHECK(seen.slice(0, 4, 9).slice(1, 4, 9).all().item<bool>());
  CHECK(!features[1].grad().defined());
}

TEST_CASE("a discriminator that does not learn gives the features the same gradients") {
  torch::manual_seed(2);
  const FeatureDiscriminator network(std::vector<int64_t>{6}, 4);
  const at::Tensor given = at::randn({2, 6, 8, 8});
  const auto gradient = [&](bool learns) {
    const at::Tensor x = given.clone().requires_grad_();
    network->forward({x}, learns)[0].square().sum().backward();
    return x.grad();
  };
  const at::Tensor frozen = gradient(false);
  for (const at::Tensor& p : network->parameters()) CHECK(!p.grad().defined());
  CHECK(at::allclose(gradient(true), frozen, 1e-4, 1e-7));
  for (const at::Tensor& p : network->parameters()) {
    CHECK(p.grad().abs().max().item<float>() > 0);
  }
}

}  // namespace
}  // namespace pangu::nn
