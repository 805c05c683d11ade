// SDXL's refiner (Podell et al. 2023): one OpenCLIP text encoder, four sizes and an aesthetic
// score.
#include "pipeline/families/spec.h"

namespace pangu::pipeline {

FamilySpec sdxl_refiner() {
  constexpr float kAesthetic = 6.0F, kNegativeAesthetic = 2.5F;  // the refiner's own defaults
  const auto none = nlohmann::json::array({nullptr, nullptr});
  FamilySpec s;
  s.family = io::Family::kSdxlRefiner;
  s.adapters = {s.family};
  s.recognises = family_is(s.family);
  s.defaults = usual_defaults(1024);
  s.defaults.steps = 30;
  s.defaults.guidance = 5.0;
  s.latent_scale = 0.13025;

  ClipEncoderSpec open_clip;
  open_clip.component = "text_encoder_2";
  open_clip.tokenizer = "tokenizer_2";
  open_clip.layer = open_clip.layer_of_single_file = ClipLayer::kPenultimate;
  open_clip.is_open_clip = true;
  s.encoders = {open_clip};
  s.reads_pooled = true;
  s.size_numbers = [=](const PictureSizes& sizes) {
    const auto number = [](int px) { return static_cast<float>(px); };
    return std::vector<float>{number(sizes.original_height), number(sizes.original_width),
                              number(sizes.crop_top), number(sizes.crop_left),
                              sizes.negative ? kNegativeAesthetic : kAesthetic};
  };

  s.trainer_names = {"sdxl_refiner_v1-0", "stable-diffusion-xl-v1-refiner"};
  s.folder.pipeline = s.folder.inpaint_pipeline = "StableDiffusionXLImg2ImgPipeline";
  s.folder.scheduler = "EulerDiscreteScheduler";
  s.folder.index_keys = {{"text_encoder", none},
                         {"tokenizer", none},
                         {"force_zeros_for_empty_prompt", false},
                         {"requires_aesthetics_score", true}};
  return s;
}

}  // namespace pangu::pipeline
