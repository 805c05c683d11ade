#include "train/adversarial_loss.h"

#include <doctest/doctest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>

namespace pangu::train {
namespace {

// A discriminator that is linear in the features of every place.
struct Linear {
  std::vector<at::Tensor> weights = {at::randn({1, 4, 1, 1}).requires_grad_(),
                                     at::randn({1, 6, 1, 1}).requires_grad_()};

  Discriminate call() const {
    return [w = weights](const LayerFeatures& features, bool learns) {
      std::vector<at::Tensor> logits;
      for (size_t i = 0; i < w.size(); ++i) {
        logits.push_back((features[i] * (learns ? w[i] : w[i].detach())).sum(1, /*keepdim=*/true));
      }
      return logits;
    };
  }
};

LayerFeatures random_features() { return {at::randn({3, 4, 6, 6}), at::randn({3, 6, 2, 3})}; }

at::Tensor plain_sum(const std::vector<at::Tensor>& values) {
  at::Tensor sum = at::zeros({});
  for (const at::Tensor& one : values) sum = sum + one.mean({1, 2, 3}).sum();
  return sum / double(values.size());
}

TEST_CASE(
    "features are measured by the size of the real ones, layer by layer, picture by picture") {
  torch::manual_seed(1);
  LayerFeatures real = random_features(), drawn = random_features();
  real[0][1].mul_(100);
  drawn[0][1].mul_(100);
  const FeaturePair pair = scaled_pair(real, drawn);
  for (const at::Tensor& one : pair.real) {
    CHECK(at::allclose(one.square().mean({1, 2, 3}), at::ones({3}), 1e-4));
  }
  CHECK(at::allclose(pair.drawn[0][1] / pair.real[0][1], drawn[0][1] / real[0][1], 1e-4));
  const FeaturePair last = scaled_pair({real[0].slice(0, 2)}, {drawn[0].slice(0, 2)});
  CHECK(at::allclose(last.drawn[0][0], pair.drawn[0][2]));
}

TEST_CASE("the losses are those of logits apart, summed over pictures") {
  torch::manual_seed(2);
  const Linear judge;
  FeaturePair pair{random_features(), random_features()};
  for (at::Tensor& one : pair.drawn) one.requires_grad_();
  const LayerFeatures noise = random_features();
  const auto of_real = judge.call()(pair.real, false), of_drawn = judge.call()(pair.drawn, false);
  std::vector<at::Tensor> wins, losses, slopes;
  for (size_t i = 0; i < of_real.size(); ++i) {
    const at::Tensor apart = (of_real[i] - of_drawn[i]).detach();
    wins.push_back(at::log(1 + at::exp(apart)));
    losses.push_back(at::log(1 + at::exp(-apart)));
    slopes.push_back(judge.call()(noise, false)[i].square());
  }
  const at::Tensor lowered = decoder_loss(judge.call(), pair);
  CHECK(lowered.item<float>() == doctest::Approx(plain_sum(wins).item<float>()));
  lowered.backward();
  for (const at::Tensor& weight : judge.weights) CHECK(!weight.grad().defined());
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& one : pair.drawn) {
    CHECK(one.grad().abs().max().item<float>() > 0);
    gradients.push_back(one.grad().clone());
  }

  const DiscriminatorLoss found = discriminator_loss(
      judge.call(), pair, [&](size_t layer, const at::Tensor&) { return noise[layer]; });
  CHECK(found.telling.item<float>() == doctest::Approx(plain_sum(losses).item<float>()));
  // Of a linear judge the slope is the same at both pictures, and finite differences are exact.
  CHECK(found.penalty.item<float>() ==
        doctest::Approx(kGradientPenalty * plain_sum(slopes).item<float>()).epsilon(1e-3));
  (found.telling + found.penalty).backward();
  for (const at::Tensor& weight : judge.weights) CHECK(weight.grad().abs().max().item<float>() > 0);
  for (size_t i = 0; i < gradients.size(); ++i) CHECK(pair.drawn[i].grad().equal(gradients[i]));
}

TEST_CASE("who sees no difference has a loss of log 2") {
  const Discriminate blind = [](const LayerFeatures& features, bool) {
    return std::vector<at::Tensor>{features[0].sum(1, /*keepdim=*/true) * 0};
  };
  const at::Tensor real = at::ones({4, 3, 2, 2});
  const FeaturePair pair{{real}, {-real}};
  CHECK(decoder_loss(blind, pair).item<float>() == doctest::Approx(4 * std::log(2.0)));
  const DiscriminatorLoss found = discriminator_loss(
      blind, pair, [](size_t, const at::Tensor& like) { return at::ones_like(like); });
  CHECK(found.telling.item<float>() == doctest::Approx(4 * std::log(2.0)));
  CHECK(found.penalty.item<float>() == 0);
}

}  // namespace
}  // namespace pangu::train
