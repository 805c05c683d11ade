// Pictures and captions to what a denoiser trains on, by callables of the application. What is
// computed is kept in a folder, under the hash of what it was made of; what is there already is
// not computed again. Knows no network.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/watch.h"
#include "data/report.h"
#include "data/training_list.h"
#include "diffusion/conditions.h"
#include "train/config.h"
#include "train/latent_set.h"

namespace pangu::train {

struct LatentEncoders {
  std::string latents_maker;   // tells autoencoders apart; others' latents are made anew
  std::string captions_maker;  // the same for text encoders
  int64_t downscale = 1;       // pixels a latent pixel, each way
  // pixels: [B,3,H,W] f32 in [-1,1] -> [B,C,h,w], scaled as a denoiser sees them.
  std::function<at::Tensor(const at::Tensor& pixels)> encode;
  // context [R,L,D], context_mask [R,L] or none, and pooled [R,P] or none, of captions; empty:
  // captions are not read.
  std::function<diffusion::Conditions(const std::vector<std::string>& captions)> read;
  // What an item's latent [C,h,w] f32 gives beside it, whenever a batch needs it; thread-safe.
  // Empty: nothing.
  std::function<at::Tensor(const at::Tensor& latent)> control;  // LatentItem::control
  std::function<at::Tensor(const at::Tensor& latent)> picture;  // LatentItem::picture
  // LatentItem::size_numbers; empty: none.
  std::function<std::vector<float>(const data::TrainingPicture& picture)> size_numbers = {};
  // LatentItem::control of a ControlNet, in pixels, likewise; empty: none. The pictures have to
  // outlive the set, which can hold them.
  std::function<at::Tensor(const data::TrainingPicture& picture)> hint = {};
  // LatentItem::loss_weight; empty: 1.
  std::function<double(const data::TrainingPicture& picture)> loss_weight = {};
  // Of a denoiser that is told of masks: items get LatentItem::pixels, and the set what belongs to
  // them. The pictures that are drawn from have to outlive the set, which can hold them.
  bool tells_masks = false;
  // LatentItem::own_mask, likewise; empty: none.
  std::function<at::Tensor(const data::TrainingPicture& picture)> own_mask = {};
  bool fills_captions_up = false;  // CaptionStates::are_filled_up
  bool reads_ids = false;          // `read` gives ids as context: CaptionStates::are_ids
  // Of what is kept: bf16 or f32.
  at::ScalarType latents_type = at::kBFloat16, states_type = at::kBFloat16;
};

// Who hears how far the two parts of the work are, and may stop it.
struct EncodingWatches {
  Watch captions, latents;
};

// The folder below config.cache_dir where the work of these encoders on this data is kept: a run
// whose first dataset or whose encoders are others has another one, even where both name the same
// cache_dir, and runs that only add datasets share what is the same.
// Empty, and nothing is kept, if there is no cache_dir.
std::string cache_folder(const TrainConfig& config, const LatentEncoders& encoders);

// Every picture that can be read, with its captions; the others are in the report. Error kBadInput
// before anything is computed if a picture has no latent pixel, or config.latent_crop does not fit.
// Throws Stopped; what is computed by then is kept for the next call.
std::shared_ptr<LatentSet> encode_training_set(const TrainConfig& config,
                                               const std::vector<data::TrainingPicture>& pictures,
                                               const LatentEncoders& encoders,
                                               data::Report& report_,
                                               const EncodingWatches& watches);

}  // namespace pangu::train
