// Stable Diffusion 1.x (Rombach et al. 2022; the folder of SD 1.5): one CLIP text encoder.
#include "pipeline/families/spec.h"

namespace pangu::pipeline {

FamilySpec sd1() {
  const auto none = nlohmann::json::array({nullptr, nullptr});
  FamilySpec s;
  s.family = io::Family::kStableDiffusion1;
  s.adapters = {s.family};
  s.recognises = family_is(s.family);
  s.defaults = usual_defaults(512);
  s.encoders = {ClipEncoderSpec{}};
  s.trainer_names = {"sd_v1", "stable-diffusion-v1"};
  s.folder.pipeline = "StableDiffusionPipeline";
  s.folder.inpaint_pipeline = "StableDiffusionInpaintPipeline";
  s.folder.index_keys = {
      {"safety_checker", none}, {"feature_extractor", none}, {"requires_safety_checker", false}};
  return s;
}

}  // namespace pangu::pipeline
