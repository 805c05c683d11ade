// One family of models as a value: all that the program knows of it beyond its files. Each family
// has one file that fills it; everything else reads fields and never asks for a family by name.
// Sources of the numbers: the configurations that the families were released with (diffusers'
// folders of SD 1.5, 2.1, SDXL; PanGu-Draw 3's inference code).
#pragma once
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "diffusion/sigmas.h"
#include "io/families/families.h"
#include "pipeline/families/clip_reader.h"
#include "pipeline/families/picture_sizes.h"
#include "pipeline/families/text_sides.h"
#include "pipeline/families/training.h"
#include "pipeline/families/unet_denoiser.h"
#include "pipeline/model.h"

namespace pangu::pipeline {

// One CLIP text encoder of a family.
struct ClipEncoderSpec {
  std::string component = "text_encoder";
  std::string tokenizer = "tokenizer";  // folder of the vocabulary beside the encoder ...
  std::string vocabulary = "clip";      // ... or, in single files, in models/tokenizers
  ClipLayer layer = ClipLayer::kLast;   // whose states networks read, in folders ...
  // ... and in single files, which may keep a layer that the folders have dropped.
  ClipLayer layer_of_single_file = ClipLayer::kLast;
  bool is_open_clip = false;  // OpenCLIP's activation; single files pad with id 0
  // ClipReaderOptions of the same names.
  bool plain = false, is_word_piece = false;
  text::ClipCleaning cleaning = text::ClipCleaning::kTransformers;
};

// The layer that networks read by the count of the web UIs. Only single files are sure to hold the
// layers behind it.
inline int own_clip_skip(const ClipEncoderSpec& encoder) {
  return encoder.layer_of_single_file == ClipLayer::kLast ? 1 : 2;
}

// What a schedule is where the files do not say.
struct NoiseSpec {
  diffusion::Spacing spacing = diffusion::Spacing::kLeading;
  bool ddim_ends_at_zero = false;    // set_alpha_to_one of single files
  bool linear_interpolation = true;  // diffusion::SigmaOptions: as diffusers' schedulers
  std::optional<diffusion::AlignYourSteps> align_your_steps = {};
};

// What a folder in diffusers' layout is called and holds beside its weights.
struct FolderSpec {
  std::string pipeline,
      inpaint_pipeline;  // "_class_name" of model_index.json; empty: is not written
  std::string scheduler = "DDIMScheduler";
  nlohmann::json index_keys;          // further keys of model_index.json ...
  nlohmann::json inpaint_index_keys;  // ... and of an inpainting model's
  bool upcasts_v_attention = false;   // scores of a network that predicts v overflow f16
};

// What files of other trainers call a family.
struct TrainerNames {
  std::string kohya;  // ss_base_model_version of kohya's sd-scripts
  // modelspec.architecture (Stability AI's model specification), which of a LoRA ends in "/lora",
  // and of models that predict v, where that is another.
  std::string modelspec, modelspec_v = {};
};

struct FamilySpec {
  io::Family family = io::Family::kUnknown;
  std::string human_name;  // of families that model_index.json alone tells; empty: by the tensors
  // Whether a model belongs to it, by its tensors and its model_index.json (null in single files).
  std::function<bool(const io::Recognised& what, const nlohmann::json& index)> recognises;

  // Drawing.
  Request defaults;   // what a request leaves open; width and height are set
  int v_side_px = 0;  // default side of models that predict v; 0: the defaults'
  std::vector<std::pair<int, int>> sizes;  // RequestRules::sizes
  bool whole_coarsest_level = false;       // sides must reach the coarsest level without a rest
  std::map<std::string, std::map<std::string, std::string>> styles;  // Model::styles
  NoiseSpec noise;
  Quirks quirks;

  // Latents that a denoiser sees are those of the autoencoder times this, where no file says it.
  double latent_scale = 0.18215;
  // Its autoencoders compute in the type of the other networks, because bf16 is measured to cost
  // them less than one level of 255 (tests/e2e/vae_dtype_test.py); others in f32.
  bool vae_follows_dtype = false;

  // Networks. Components "unet" and, for two experts, "unet_texture" hold the denoisers.
  std::function<DenoiserSource(const std::shared_ptr<const Component>&, const Placement&,
                               const std::shared_ptr<const LoraSet>&)>
      denoiser = unet_denoiser;
  std::function<Control(const std::string& path, const std::vector<io::Family>& families,
                        const Placement&, const std::shared_ptr<const Component>& denoiser)>
      control = unet_control;
  std::vector<io::Family> adapters;  // families whose ControlNets fit, its own first
  // The family that may take over the last steps (LoadOptions::refiner), or none.
  io::Family refiner = io::Family::kUnknown;
  // Two files of all parts, one of high and one of low noise: each alone is half a model.
  bool released_as_pair = false;
  bool draws_from_control_channels = false;  // Denoising::control_channels

  // Conditions.
  std::function<TextSide(const TextSetup&)> text_side = clip_side;
  std::vector<ClipEncoderSpec> encoders;  // of clip_side, side by side
  bool reads_pooled = false;              // Conditions::pooled
  // An empty negative prompt is zeros, as diffusers' pipelines give them, not the states of "".
  bool zeroes_empty_prompt = false;
  std::function<std::vector<float>(const PictureSizes&)> size_numbers;  // empty: none

  FolderSpec folder;
  TrainerNames trainer_names;

  std::optional<TrainingSpec> training = {};  // none: it cannot be trained here
};

// The modelspec.architecture of a whole model.
std::string modelspec_architecture_of(const FamilySpec& spec, bool predicts_v);

// Defaults that most families share, for square pictures.
Request usual_defaults(int side_px);
// A test for FamilySpec::recognises.
std::function<bool(const io::Recognised&, const nlohmann::json&)> family_is(io::Family family);

// The family of a model; of tensors that no family recognises Stable Diffusion 1's description with
// io::Family::kUnknown, so that a network like those may still be tried.
const FamilySpec& spec_of(const io::Recognised& what, const nlohmann::json& index);
const FamilySpec& spec_of(io::Family family);

// Every family, in the order in which they are asked.
const std::vector<FamilySpec>& family_specs();

}  // namespace pangu::pipeline
