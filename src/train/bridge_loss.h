// What a converter between two latent spaces is trained on: pairs of latents that show one picture,
// in memory, and the distance of one converted to the other. Both directions are trained at once.
// Knows no network and no encoder.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <utility>
#include <vector>

#include "train/trainer.h"

namespace pangu::train {

// Latents [C,h,w] of spaces A and B, f16 or f32, as denoisers see them. A pair may serve as an
// example of one direction only: where B was made of A's latent, say.
struct LatentPair {
  at::Tensor a, b;
  bool a_to_b = true, b_to_a = true;
};

// Of every channel, over all pixels of all latents of one side.
struct ChannelStatistics {
  std::vector<double> mean, std;
};
std::pair<ChannelStatistics, ChannelStatistics> statistics_of(const std::vector<LatentPair>& pairs);

// One replica's converters. (latents [B,C,h,w] f32, height, width) -> [B,C',height,width] f32.
struct BridgeCalls {
  using Convert = std::function<at::Tensor(const at::Tensor& x, int64_t height, int64_t width)>;
  Convert a_to_b, b_to_a;
};

// Mean square of the error in units of each channel's standard deviation, both directions summed.
// A batch has latents of one shape; shapes are drawn as often as they have pairs. Error kBadInput
// for no pairs. A direction without pairs counts nothing.
LossFunction bridge_loss(const TrainConfig& config, std::vector<BridgeCalls> replicas,
                         std::vector<LatentPair> pairs,
                         std::pair<ChannelStatistics, ChannelStatistics> statistics);

}  // namespace pangu::train
