// A model of any family to train on: what its files say of noise and sizes, its text encoders and
// autoencoder as `draw` uses them, which stay as they are, and its denoisers with gradients, of
// which all weights are trained, or low-rank changes, or a ControlNet beside. Knows no dataset and
// no optimiser.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/low_rank.h"
#include "pipeline/families/picture_sizes.h"
#include "pipeline/families/source.h"
#include "pipeline/families/text_sides.h"
#include "pipeline/families/training.h"
#include "pipeline/model.h"
#include "pipeline/trained_model.h"

namespace pangu::pipeline {

struct FrozenBase {
  std::shared_ptr<const Source> source;
  Model model;                         // networks come into memory when they are first used
  std::vector<TrainedExpert> experts;  // one or two, from most noise to least
  int default_side_px = 0;             // a multiple of model.rules.size_multiple
  bool fills_captions_up = false;      // token states of all captions have CLIP's length
  std::string path;                    // as it was opened
  LoadOptions options;
};

// Opens headers and configurations of a model. Error kBadInput as load_model, and for a model whose
// denoiser reads more than text and a mask: a control picture, a picture in the prompt's place.
FrozenBase open_frozen_base(const std::string& path, const LoadOptions& options);

// The same model again, without the networks that have come into memory.
FrozenBase reopened(const FrozenBase& base);

// Reads captions as the model reads prompts, without their syntax: every word counts as it stands.
// The empty caption is what the model takes for no prompt. Conditions have context and, where the
// model has them, context_mask and pooled; no size numbers.
CaptionReader frozen_captions(const FrozenBase& base);

// The same captions as the ids of TrainableText, in `context` as f32 [R,L,E]: of a training that
// changes the text encoders. Error kBadInput as trainable_clip.
CaptionReader frozen_caption_ids(const FrozenBase& base);

// What the model is told of sizes, or nothing.
std::vector<float> size_numbers_of(const FrozenBase& base, const PictureSizes& sizes);

// Where the weights of a denoiser are, and how it is computed.
struct FrozenPlace {
  std::string device = "cpu", dtype = "f32";
  bool recomputes = false;  // nn::UNetStepExtras::recomputes
};

// What of a model gets changes: nothing where there are no options.
struct ChangePlan {
  std::optional<nn::LowRankOptions> denoiser, text;
};

// Of the denoisers below: an inpainting model's is told its five further input channels, the mask
// and the masked picture's latent, as Conditions::extra_channels.

// A denoiser whose changes are trained, or whose text encoders' are, or both.
struct ChangedDenoiser {
  std::shared_ptr<nn::LowRankChanges> changes;
  std::shared_ptr<torch::nn::Module> network;  // frozen
  // TrainableDenoiser::predict. Conditions with token_ids go through the changed text encoders.
  std::function<at::Tensor(const at::Tensor& x, const at::Tensor& t_index,
                           const Conditions& conditions)>
      predict;
  TextSide text;  // reads prompts by the changed text encoders; empty callables if they are not
};

// Reads the weights of one expert, and puts changes beside them out of torch's generator. With
// `other`, a denoiser of the same expert and plan, both have the denoiser's frozen weights in
// memory once; text encoders are in memory for each.
ChangedDenoiser changed_denoiser(const FrozenBase& base, const TrainedExpert& expert,
                                 const ChangePlan& plan, const FrozenPlace& place,
                                 const ChangedDenoiser* other = nullptr);
// The encoders of a base, somewhere.
TrainableText trainable_text(const FrozenBase& base, const FrozenPlace& place);

// Reads the weights of one expert, all of which are trained: they are in memory of their own. Its
// one part has no prefix. With `other`, a denoiser of the same expert, both share their weights.
TrainableDenoiser tuned_denoiser(const FrozenBase& base, const TrainedExpert& expert,
                                 const FrozenPlace& place,
                                 const TrainableDenoiser* other = nullptr);

// A frozen denoiser, and the ControlNet beside it that is trained. Conditions::extra_channels are
// the control pictures (so the model may be no inpainting model), [B,3,H,W] of 0..255 in the
// weights' type. The ControlNet begins as a copy of the denoiser's downward half whose residuals
// are 0; what reads the picture is drawn from torch's generator. Its one part is "controlnet".
// `other` as above: frozen weights are in memory once.
struct ControlledDenoiser {
  TrainableDenoiser control;                   // predict is that of both together
  std::shared_ptr<torch::nn::Module> network;  // frozen
};
ControlledDenoiser controlled_denoiser(const FrozenBase& base, const TrainedExpert& expert,
                                       const FrozenPlace& place,
                                       const ControlledDenoiser* other = nullptr);

}  // namespace pangu::pipeline
