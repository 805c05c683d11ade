// What training needs of a family: networks with gradients, what they are told, and latents. Knows
// no optimiser, no dataset and no schedule.
#pragma once
#include <torch/nn/module.h>

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pipeline/load_options.h"
#include "pipeline/model.h"

namespace pangu::pipeline {

// Configurations of networks, as their config.json, by the component of the model's folder.
using NetworkConfigs = std::map<std::string, nlohmann::json>;

// A network that becomes a component of a model's folder.
struct TrainablePart {
  std::string component;  // "unet", "image_encoder"
  std::string prefix;     // that its tensors' names have in TrainableDenoiser::module
  nlohmann::json config;  // complete, as it is written
};

// A denoiser that learns, with the networks that learn along.
struct TrainableDenoiser {
  std::shared_ptr<torch::nn::Module> module;  // all that is trained
  std::vector<TrainablePart> parts;
  // x: [B,C,h,w] in the weights' type, t_index: [B] or [1] f32; conditions of B rows in the
  // weights' type. Returns the prediction [B,C,h,w]. Differentiable.
  std::function<at::Tensor(const at::Tensor& x, const at::Tensor& t_index,
                           const Conditions& conditions)>
      predict;
};

// Captions to what a denoiser is told; the reader itself does not learn.
struct CaptionReader {
  std::string identity;  // a hash of its files
  // context [R,L,D] f32 and context_mask [R,L]; captions are cut to max_tokens.
  std::function<Conditions(const std::vector<std::string>& captions, int64_t max_tokens)> read;
};

struct TrainingSpec {
  // Fresh weights out of torch's generator; it predicts 0 everywhere. Error kBadInput if a
  // configuration is missing or wrong.
  std::function<TrainableDenoiser(const NetworkConfigs& configs)> denoiser;
  // folder: of a model, or with text_encoder/ and tokenizer/ alone. Empty: the denoiser reads
  // pictures. Error kBadInput naming a file that is missing.
  std::function<CaptionReader(const std::string& folder)> captions;
  // What the image encoder that learns along sees of a picture [1,3,H,W] f32 in [0,1]:
  // [1,3,S,S]. Empty: the denoiser reads captions.
  std::function<at::Tensor(const at::Tensor& picture, const NetworkConfigs& configs)> sight;
  // folder: ".../vae".
  std::function<LatentCodec(const std::string& folder, const LoadOptions& options)> codec;
};

// The folder with the text_encoder/ and tokenizer/ of a model's folder: itself, or the one that its
// model_index.json names as text_model, which several models may share.
std::string text_folder_of(const std::string& model);

// Our small UNet, told captions by a frozen BERT.
TrainingSpec train_with_captions();
// The same, told pictures by a CLIP image encoder that learns along.
TrainingSpec train_with_pictures();

}  // namespace pangu::pipeline
