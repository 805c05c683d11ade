// Measures how good a bridge between two latent spaces is, on pairs of latents of held-out
// pictures, by the pictures that converted and real latents decode to; the best of several
// converters is picked by it. It trains nothing.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "nn/autoencoder/latent_converter.h"

namespace pangu::eval {

struct Judgement {
  double psnr_db = 0;  // of decode(converted) against decode(the real latent)
  // |converted - real| / |real - its mean|, in units of channel deviations
  double relative_error = 0;
};
nlohmann::json to_json(const Judgement& judgement);

// Judges bridges of one direction on held-out pairs; the pictures of the real latents are decoded
// once.
class BridgeJudge {
 public:
  using Decode = std::function<at::Tensor(const at::Tensor& latents)>;
  // Converts `from` [1,C,h,w] to the size of `like`, the real latent of the target.
  using Convert = std::function<at::Tensor(const at::Tensor& from, const at::Tensor& like)>;
  using Pairs = std::vector<std::pair<at::Tensor, at::Tensor>>;

  // pairs: a latent [C,h,w] and the real latent of the target for the same picture. decode: the
  // target's decoder, to [B,3,H,W] about [-1,1]. config: that of converters in this direction.
  BridgeJudge(const Pairs& pairs, Decode decode, const nn::LatentConverterConfig& config);
  Judgement operator()(const Convert& convert) const;
  Judgement operator()(nn::LatentConverter& converter) const;

 private:
  Decode decode_;
  at::Tensor mean_, std_;
  std::vector<at::Tensor> from_, real_, pictures_;
};

// Weights of a converter, obtained in one of several ways, and how good they are.
struct BridgeCandidate {
  std::string name;  // "linear", "trained", "refitted"
  Judgement judgement;
  std::map<std::string, at::Tensor> weights;  // bf16
};

// Returns the converter's weights as a file will hold them, judged in that form.
BridgeCandidate candidate_of(const std::string& name, const nn::LatentConverter& converter,
                             const BridgeJudge& judge);

// Returns the candidate of the highest PSNR, of equal ones the first. A candidate without a finite
// PSNR is worse than any other.
const BridgeCandidate& best_of(const std::vector<BridgeCandidate>& candidates);

}  // namespace pangu::eval
