#include "eval/bridge_judge.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "eval/reconstruction.h"

namespace pangu::eval {
namespace {

at::Tensor column(const std::vector<double>& v) {
  return at::tensor(v, at::kDouble).to(at::kFloat).reshape({1, -1, 1, 1});
}

}  // namespace

nlohmann::json to_json(const Judgement& j) {
  return {{"psnr_db", j.psnr_db}, {"relative_error", j.relative_error}};
}

BridgeJudge::BridgeJudge(const Pairs& pairs, Decode decode, const nn::LatentConverterConfig& config)
    : decode_(std::move(decode)), mean_(column(config.to_mean)), std_(column(config.to_std)) {
  const at::NoGradGuard no_grad;
  for (const auto& [from, real] : pairs) {
    from_.push_back(from.to(at::kFloat).unsqueeze(0));
    real_.push_back(real.to(at::kFloat).unsqueeze(0));
    pictures_.push_back(decode_(real_.back()));
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
    result.psnr_db += psnr_db(decode_(found), pictures_[i]).item<double>();
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

}  // namespace pangu::eval
