// A whole model folder out of what a training made: networks, autoencoder, text encoder, tokenizer,
// noise schedule, and all that a request leaves open. It is in our own family's layout, whose
// reader is families/; it draws without a further word.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "diffusion/parameterisation.h"
#include "diffusion/schedule.h"

namespace pangu::pipeline {

struct TrainedNetwork {
  nlohmann::json config;                      // as its config.json
  std::map<std::string, at::Tensor> weights;  // f32; written in bf16
};

// What a training is told of the model that comes of it, before it begins.
struct TrainedModelPlan {
  diffusion::Schedule schedule;
  diffusion::Parameterisation parameterisation = diffusion::Parameterisation::kEps;
  int64_t min_timestep = 0, max_timestep = 1000;  // the expert is trained on [min, max)
  // Folder with vae/ and, for models that read captions, text_encoder/ and tokenizer/. They are
  // copied, text encoder and tokenizer not if `drawing` names a text_model.
  std::string inputs;
  bool reads_captions = true;
  int default_side_px = 256;  // unless `drawing` says a size
  // JSON files with what a request leaves open, in the keys of model_index.json: default_size,
  // default_steps, default_guidance, default_guidance_low, style_prompts, and text_model, the
  // folder of a model (relative to this one) whose text encoder serves. A key of a later file takes
  // the place of an earlier one's; what none says is the family's.
  std::vector<std::string> drawing;
  // Model folder of the expert for the other noise levels, whose network is copied. Empty: none.
  std::string other_expert;
};

// Error kBadInput naming the file and key that is wrong: in `drawing`, or because the ranges of the
// two experts do not meet.
void check_trained_model(const TrainedModelPlan& plan);

// Writes `folder`, which is made if need be; model_index.json comes last. image_encoder: of a model
// that varies pictures, else without weights. Error as check_trained_model, kIo if it cannot be
// written.
void write_trained_model(const std::string& folder, const TrainedModelPlan& plan,
                         const TrainedNetwork& unet, const TrainedNetwork& image_encoder);

}  // namespace pangu::pipeline
