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
  s.size_numbers = [=](int width, int height, bool negative) {
    const auto w = static_cast<float>(width), h = static_cast<float>(height);
    return std::vector<float>{h, w, 0, 0, negative ? kNegativeAesthetic : kAesthetic};
  };

  s.folder.pipeline = s.folder.inpaint_pipeline = "StableDiffusionXLImg2ImgPipeline";
  s.folder.scheduler = "EulerDiscreteScheduler";
  s.folder.index_keys = {{"text_encoder", none},
                         {"tokenizer", none},
                         {"force_zeros_for_empty_prompt", false},
                         {"requires_aesthetics_score", true}};
  return s;
}

}  // namespace pangu::pipeline
