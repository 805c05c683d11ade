// Stable Diffusion 2.x (the folders of 2.1-base and 2.1): one OpenCLIP text encoder, of which the
// last layer is not read. Models of 768 pixels predict v.
#include "pipeline/families/spec.h"

namespace pangu::pipeline {

FamilySpec sd2() {
  const auto none = nlohmann::json::array({nullptr, nullptr});
  FamilySpec s;
  s.family = io::Family::kStableDiffusion2;
  s.adapters = {s.family};
  s.recognises = family_is(s.family);
  s.defaults = usual_defaults(512);
  s.v_side_px = 768;
  ClipEncoderSpec encoder;
  encoder.layer_of_single_file = ClipLayer::kPenultimateNorm;
  encoder.is_open_clip = true;
  s.encoders = {encoder};
  s.trainer_names = {"sd_v2", "stable-diffusion-v2-512", "stable-diffusion-v2-768-v"};
  s.folder.pipeline = "StableDiffusionPipeline";
  s.folder.inpaint_pipeline = "StableDiffusionInpaintPipeline";
  s.folder.index_keys = {
      {"safety_checker", none}, {"feature_extractor", none}, {"requires_safety_checker", false}};
  s.folder.upcasts_v_attention = true;
  return s;
}

}  // namespace pangu::pipeline
