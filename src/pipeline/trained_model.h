// A whole model folder out of what a training made: networks, autoencoder, text encoder, tokenizer,
// noise schedule, and all that a request leaves open. It is in our own family's layout, whose
// reader is families/; it draws without a further word.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "diffusion/parameterisation.h"
#include "diffusion/schedule.h"
#include "pipeline/families/training.h"

namespace pangu::pipeline {

// What a training is told of the model that comes of it, before it begins.
struct TrainedModelPlan {
  diffusion::Schedule schedule;
  diffusion::Parameterisation parameterisation = diffusion::Parameterisation::kEps;
  int64_t min_timestep = 0, max_timestep = 1000;  // the expert is trained on [min, max)
  // Folder with vae/ and, for models that read captions, text_encoder/ and tokenizer/, or a model
  // whose text_model names theirs. They are copied, text encoder and tokenizer not if `drawing`
  // names a text_model.
  std::string inputs;
  bool reads_captions = true;
  int default_side_px = 256;  // unless `base` or `drawing` says a size
  // Model folder that the training goes on from: its scheduler is kept, and what its
  // model_index.json says of drawing. Empty: none.
  std::string base;
  // JSON files with what a request leaves open, in the keys of model_index.json: default_size,
  // default_steps, default_guidance, default_guidance_low, default_sampler, default_schedule,
  // style_prompts, and text_model, the folder of a model (relative to this one) whose text encoder
  // serves. A key of a later file takes the place of an earlier one's; what none says is the
  // family's.
  std::vector<std::string> drawing;
  // Model folder of the expert for the other noise levels, whose network is copied. Empty: none.
  std::string other_expert;
};

// Error kBadInput naming the file and key that is wrong: in `drawing`, or because the ranges of the
// two experts do not meet.
void check_trained_model(const TrainedModelPlan& plan);

// Writes `folder`, which is made if need be; model_index.json comes last. weights: f32, of all
// parts, by the names of TrainableDenoiser::module; they are written in bf16. Error as
// check_trained_model, kIo if it cannot be written.
void write_trained_model(const std::string& folder, const TrainedModelPlan& plan,
                         const std::vector<TrainablePart>& parts,
                         const std::map<std::string, at::Tensor>& weights);

// The family of the models that are written so, which read pictures or captions.
const TrainingSpec& training_from_nothing(bool reads_pictures);

// One denoiser of a model folder and the timesteps [min, max) that it serves.
struct TrainedExpert {
  std::string name;       // "structure" or "texture" of two, "denoiser" of all timesteps
  std::string component;  // the folder of its network in the model's
  int64_t min_timestep = 0, max_timestep = 0;
};

// Of a model in our own family's layout, from most noise to least. steps: of its schedule. Error
// kBadInput naming file and key. `what` stands before the file in errors.
std::vector<TrainedExpert> trained_experts(const std::string& folder, int64_t steps,
                                           const std::string& what);

}  // namespace pangu::pipeline
