// How good a bridge between two latent spaces is: pairs of latents of pictures that no training
// saw, by the pictures that they decode to. Which of several bridges is kept follows from it. It
// trains nothing.
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
  double psnr_db = 0;         // of decode(converted) by decode(the real latent)
  double relative_error = 0;  // |converted - real| / |real - mean of real|, in channels' deviations
};
nlohmann::json to_json(const Judgement& judgement);

// Pairs that were held out, in one direction; the real latents' pictures are decoded once.
class BridgeJudge {
 public:
  using Decode = std::function<at::Tensor(const at::Tensor& latents)>;
  // from [1,C,h,w]; like: the real latent of the target, for its size.
  using Convert = std::function<at::Tensor(const at::Tensor& from, const at::Tensor& like)>;
  using Pairs = std::vector<std::pair<at::Tensor, at::Tensor>>;

  // pairs: (a latent [C,h,w], the real latent of the target for the same picture). decode: of the
  // target, [B,3,H,W] about [-1,1]. config: of converters in this direction.
  BridgeJudge(const Pairs& pairs, Decode decode, const nn::LatentConverterConfig& config);
  Judgement operator()(const Convert& convert) const;
  Judgement operator()(nn::LatentConverter& converter) const;

 private:
  Decode decode_;
  at::Tensor mean_, std_;
  std::vector<at::Tensor> from_, real_, pictures_;
};

// One way to fill a converter.
struct BridgeCandidate {
  std::string name;  // "linear", "trained", "refitted"
  Judgement judgement;
  std::map<std::string, at::Tensor> weights;  // bf16
};

// The converter's weights as they will be in a file, and judged so.
BridgeCandidate candidate_of(const std::string& name, const nn::LatentConverter& converter,
                             const BridgeJudge& judge);

// The candidate of the highest PSNR, of equal ones the first; one without a finite PSNR is worse
// than any.
const BridgeCandidate& best_of(const std::vector<BridgeCandidate>& candidates);

}  // namespace pangu::eval
