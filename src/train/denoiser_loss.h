// The training loss of a denoiser on cached latents: draw t in the expert's range, mix in noise,
// call the network, weigh its error. Time-decoupled training (PanGu-Draw) is three settings of this
// one function: the range of t, the size of the latents, the part of the data.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "diffusion/conditions.h"
#include "diffusion/loss.h"
#include "train/latent_set.h"
#include "train/trainer.h"

namespace pangu::train {

// One replica's network. x: [B,C,h,w] in the training dtype, channels-last; t_index: [B] f32. Of
// the conditions a set gives: context, context_mask and pooled of captions, or token_ids and
// context_mask; or pictures [B,3,S,S]
// and context_mask [B,1], false where the embedding is to be 0; extra_channels of a set with
// control channels or masks; size_numbers of a set with those, in f32. All other numbers are in the
// training dtype. Returns the prediction [B,C,h,w].
using DenoiserCall = std::function<at::Tensor(const at::Tensor& x, const at::Tensor& t_index,
                                              const diffusion::Conditions& conditions)>;

// The noise schedule and the loss that a configuration asks for. Error kBadInput for an unknown
// name.
diffusion::Schedule schedule_of(const TrainConfig& config);
diffusion::LossConfig loss_config_of(const TrainConfig& config);

// Items of a set as one batch, each with the first caption of one of its languages in turn.
struct LatentBatch {
  at::Tensor latents;                // [N,C,h,w] f32
  diffusion::Conditions conditions;  // f32
};
// items: of one shape. guided: the conditions have 2N rows, those of the unconditional side first.
LatentBatch batch_of(const LatentSet& set, const std::vector<int64_t>& items, bool guided);
// Up to `count` items whose latents have the first one's shape, every stride-th.
std::vector<int64_t> items_of_one_shape(const LatentSet& set, int64_t count, int64_t stride);

// Error kBadInput if config.latent_crop does not fit into latents of this size. Asked by
// denoiser_loss of every latent; for callers that know the sizes before they have the latents.
void check_latent_crop(const TrainConfig& config, int64_t height, int64_t width);

// The inputs of the next batches are read by a thread of its own while a step is computed; `wait`,
// if given, hears how long replicas waited for theirs. With teachers, one a replica and frozen, the
// loss is that of train/consistency_distillation.h, as config.distillation_* say.
LossFunction denoiser_loss(const TrainConfig& config, const diffusion::Schedule& schedule,
                           const diffusion::LossConfig& loss_config,
                           std::vector<DenoiserCall> replicas, std::shared_ptr<LatentSet> set,
                           std::shared_ptr<DataWait> wait = nullptr,
                           std::vector<DenoiserCall> teachers = {});

// The mean length that captions are padded to in the first `batches` batches of a run, where each
// of `replicas` gets a slice of every batch; 1 if the denoiser reads pictures. For the accounting.
double mean_context_length(const TrainConfig& config, const std::shared_ptr<LatentSet>& set,
                           int64_t replicas, int64_t batches);

struct LossAtT {
  int64_t t_index = 0;
  double sigma = 0, loss = 0;
};

// Mean unweighted loss of the prediction at these time indices, over the first `count` items of one
// shape and one fixed noise, and mask, each. For curves of loss by sigma.
std::vector<LossAtT> loss_at(const TrainConfig& config, const diffusion::Schedule& schedule,
                             const diffusion::LossConfig& loss_config, const DenoiserCall& net,
                             const LatentSet& set, const std::vector<int64_t>& t_indices,
                             int64_t count);

// The same at `times` time indices from the first to the last of the trained range, at least two.
std::vector<LossAtT> loss_by_t(const TrainConfig& config, const diffusion::Schedule& schedule,
                               const diffusion::LossConfig& loss_config, const DenoiserCall& net,
                               const LatentSet& set, int times, int64_t count);

}  // namespace pangu::train
