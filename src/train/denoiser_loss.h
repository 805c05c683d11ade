// The training loss of a denoiser on cached latents: draw t in the expert's range, mix in noise,
// call the network, weigh its error. Time-decoupled training (PanGu-Draw) is three settings of this
// one function: the range of t, the size of the latents, the part of the data.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "diffusion/loss.h"
#include "train/latent_set.h"
#include "train/trainer.h"

namespace pangu::train {

// One replica's network. x: [B,C,h,w] in the training dtype, channels-last, behind them the control
// channels of a set that has them; t_index: [B] f32, context: [B,L,D], mask: [B,L] bool. Of a set
// with pictures, context is those, [B,3,S,S], and mask, [B,1], false where the embedding is to be
// 0. Returns the prediction [B,C,h,w].
using DenoiserCall = std::function<at::Tensor(const at::Tensor& x, const at::Tensor& t_index,
                                              const at::Tensor& context, const at::Tensor& mask)>;

// The noise schedule and the loss that a configuration asks for. Error kBadInput for an unknown
// name.
diffusion::Schedule schedule_of(const TrainConfig& config);
diffusion::LossConfig loss_config_of(const TrainConfig& config);

// Captions as a padded batch; true where a token stands.
std::pair<at::Tensor, at::Tensor> gather_captions(const CaptionStates& captions,
                                                  const std::vector<int64_t>& indices);

// Error kBadInput if config.latent_crop does not fit into latents of this size. Asked by
// denoiser_loss of every latent; for callers that know the sizes before they have the latents.
void check_latent_crop(const TrainConfig& config, int64_t height, int64_t width);

LossFunction denoiser_loss(const TrainConfig& config, const diffusion::Schedule& schedule,
                           const diffusion::LossConfig& loss_config,
                           std::vector<DenoiserCall> replicas, std::shared_ptr<LatentSet> set);

struct LossAtT {
  int64_t t_index = 0;
  double sigma = 0, loss = 0;
};

// Mean unweighted loss of the prediction at `times` time indices from the first to the last of the
// trained range, at least two, over the first `count` items with their first caption and one fixed
// noise each. For curves of loss by sigma.
std::vector<LossAtT> loss_by_t(const TrainConfig& config, const diffusion::Schedule& schedule,
                               const diffusion::LossConfig& loss_config, const DenoiserCall& net,
                               const LatentSet& set, int times, int64_t count);

}  // namespace pangu::train
