#include "train/adversarial_loss.h"

#include <torch/types.h>

namespace pangu::train {
namespace {

constexpr double kProbe = 0.1;         // the length of finite differences, in units of the noise
constexpr double kLeastSquare = 1e-6;  // of features that are nearly nothing

using Logits = std::vector<at::Tensor>;

// Sum over pictures of the mean over layers of the mean of f(a, b) over places.
template <class F>
at::Tensor sum_of_means(const Logits& a, const Logits& b, const F& f) {
  at::Tensor sum;
  for (size_t i = 0; i < a.size(); ++i) {
    const at::Tensor one = f(a[i].to(at::kFloat), b[i].to(at::kFloat)).flatten(1).mean(1).sum();
    sum = sum.defined() ? sum + one : one;
  }
  return sum / double(a.size());
}

at::Tensor softplus_of_difference(const at::Tensor& a, const at::Tensor& b) {
  return at::softplus(a - b);
}

LayerFeatures detached(const LayerFeatures& features) {
  LayerFeatures out;
  for (const at::Tensor& one : features) out.push_back(one.detach());
  return out;
}

}  // namespace

FeaturePair scaled_pair(const LayerFeatures& real, const LayerFeatures& drawn) {
  FeaturePair pair;
  for (size_t i = 0; i < real.size(); ++i) {
    const at::Tensor wide = real[i].detach().to(at::kFloat);
    const at::Tensor scale =
        at::rsqrt(wide.square().mean({1, 2, 3}, /*keepdim=*/true) + kLeastSquare);
    pair.real.push_back(wide * scale);
    pair.drawn.push_back(drawn[i].to(at::kFloat) * scale);
  }
  return pair;
}

at::Tensor decoder_loss(const Discriminate& discriminate, const FeaturePair& pair) {
  Logits wanted;
  {
    const at::NoGradGuard no_grad;
    wanted = discriminate(pair.real, /*learns=*/false);
  }
  return sum_of_means(wanted, discriminate(pair.drawn, /*learns=*/false), softplus_of_difference);
}

DiscriminatorLoss discriminator_loss(
    const Discriminate& discriminate, const FeaturePair& pair,
    const std::function<at::Tensor(size_t layer, const at::Tensor& like)>& normal) {
  const LayerFeatures real = detached(pair.real), drawn = detached(pair.drawn);
  const Logits of_real = discriminate(real, /*learns=*/true);
  const Logits of_drawn = discriminate(drawn, /*learns=*/true);
  LayerFeatures noise;
  for (size_t i = 0; i < real.size(); ++i) noise.push_back(normal(i, real[i]));
  const auto slope = [&](const LayerFeatures& features, const Logits& logits) {
    LayerFeatures moved;
    for (size_t i = 0; i < features.size(); ++i) moved.push_back(features[i] + noise[i] * kProbe);
    return sum_of_means(discriminate(moved, /*learns=*/true), logits,
                        [](const at::Tensor& there, const at::Tensor& here) {
                          return ((there - here) / kProbe).square();
                        });
  };
  return {sum_of_means(of_drawn, of_real, softplus_of_difference),
          (slope(real, of_real) + slope(drawn, of_drawn)) * (kGradientPenalty / 2)};
}

}  // namespace pangu::train
