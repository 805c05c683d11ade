#include "app/train/bridge_judge.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace pangu::app {
namespace {

at::Tensor column(const std::vector<double>& v) {
  return at::tensor(v, at::kDouble).to(at::kFloat).reshape({1, -1, 1, 1});
}

}  // namespace

nlohmann::json to_json(const Judgement& j) {
  return {{"psnr_db", j.psnr_db}, {"relative_error", j.relative_error}};
}

BridgeJudge::BridgeJudge(const std::vector<train::LatentPair>& pairs, bool forth,
                         const BridgeSide& to, const nn::LatentConverterConfig& config)
    : to_(to), mean_(column(config.to_mean)), std_(column(config.to_std)) {
  const at::NoGradGuard no_grad;
  for (const train::LatentPair& pair : pairs) {
    from_.push_back((forth ? pair.a : pair.b).to(at::kFloat).unsqueeze(0));
    real_.push_back((forth ? pair.b : pair.a).to(at::kFloat).unsqueeze(0));
    pictures_.push_back(to.decode(real_.back()).clamp(-1, 1));
  }
}

Judgement BridgeJudge::operator()(const Convert& convert) const {
  const at::NoGradGuard no_grad;
  double wrong = 0, all = 0;
  Judgement result;
  for (size_t i = 0; i < from_.size(); ++i) {
    const at::Tensor found = convert(from_[i], real_[i]);
    wrong += ((found - real_[i]) / std_).square().sum().item<double>();
    all += ((real_[i] - mean_) / std_).square().sum().item<double>();
    const at::Tensor difference = to_.decode(found).clamp(-1, 1) - pictures_[i];
    const double square = difference.square().mean().item<double>();
    // The range of 2 makes the mean square four times that of pixels in [0,1]. Not a number stays.
    result.psnr_db += 10 * std::log10(4 / (square < 1e-10 ? 1e-10 : square));
  }
  result.psnr_db /= double(from_.size());
  result.relative_error = std::sqrt(wrong / all);
  return result;
}

Judgement BridgeJudge::operator()(nn::LatentConverter& converter) const {
  return (*this)([&](const at::Tensor& x, const at::Tensor& like) {
    return converter.forward(x, like.size(2), like.size(3)).cpu();
  });
}

BridgeCandidate candidate_of(const std::string& name, const nn::LatentConverter& converter,
                             const BridgeJudge& judge) {
  BridgeCandidate candidate{name, {}, {}};
  for (const auto& [key, tensor] : nn::state_of(converter)) {
    candidate.weights[key] = tensor.detach().cpu().to(at::kBFloat16);
  }
  nn::LatentConverter stored(converter.config());
  nn::load_into(stored, candidate.weights);
  candidate.judgement = judge(stored);
  return candidate;
}

const BridgeCandidate& best_of(const std::vector<BridgeCandidate>& candidates) {
  const auto worse = [](const BridgeCandidate& a, const BridgeCandidate& b) {
    const double x = a.judgement.psnr_db, y = b.judgement.psnr_db;
    return std::isfinite(y) && (!std::isfinite(x) || x < y);
  };
  return *std::max_element(candidates.begin(), candidates.end(), worse);
}

}  // namespace pangu::app
