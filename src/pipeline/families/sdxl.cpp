// SDXL base (Podell et al. 2023): two text encoders side by side, a pooled vector, six numbers of
// sizes and crop.
#include "pipeline/families/spec.h"

namespace pangu::pipeline {

FamilySpec sdxl() {
  FamilySpec s;
  s.family = io::Family::kSdxl;
  s.adapters = {s.family};
  s.recognises = family_is(s.family);
  s.defaults = usual_defaults(1024);
  s.defaults.steps = 30;
  s.defaults.guidance = 5.0;
  s.noise.align_your_steps = diffusion::AlignYourSteps::kSdxl;
  s.latent_scale = 0.13025;
  s.refiner = io::Family::kSdxlRefiner;

  ClipEncoderSpec clip, open_clip;
  clip.layer = clip.layer_of_single_file = ClipLayer::kPenultimate;
  open_clip.component = "text_encoder_2";
  open_clip.tokenizer = "tokenizer_2";
  open_clip.layer = open_clip.layer_of_single_file = ClipLayer::kPenultimate;
  open_clip.is_open_clip = true;
  s.encoders = {clip, open_clip};
  s.reads_pooled = s.zeroes_empty_prompt = true;
  s.size_numbers = [](const PictureSizes& sizes) {
    const auto number = [](int px) { return static_cast<float>(px); };
    return std::vector<float>{number(sizes.original_height), number(sizes.original_width),
                              number(sizes.crop_top),        number(sizes.crop_left),
                              number(sizes.height),          number(sizes.width)};
  };

  s.trainer_names = {"sdxl_base_v1-0", "stable-diffusion-xl-v1-base"};
  s.folder.pipeline = "StableDiffusionXLPipeline";
  s.folder.inpaint_pipeline = "StableDiffusionXLInpaintPipeline";
  s.folder.scheduler = "EulerDiscreteScheduler";
  s.folder.index_keys = {{"force_zeros_for_empty_prompt", true}};
  s.folder.inpaint_index_keys = {{"requires_aesthetics_score", false}};
  return s;
}

}  // namespace pangu::pipeline
