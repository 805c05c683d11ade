// Stable Diffusion image variations (Lambda Labs 2022): Stable Diffusion 1's network, whose context
// is one token, the CLIP embedding of a picture.
#include "pipeline/families/spec.h"

namespace pangu::pipeline {

FamilySpec image_variations() {
  FamilySpec s;
  s.family = io::Family::kImageVariations;
  s.adapters = {s.family};
  s.recognises = family_is(s.family);
  s.defaults = usual_defaults(512);
  s.quirks.reads_picture = true;
  s.text_side = picture_side;
  s.folder.pipeline = s.folder.inpaint_pipeline = "StableDiffusionImageVariationPipeline";
  s.folder.index_keys = {
      {"feature_extractor", nlohmann::json::array({"transformers", "CLIPImageProcessor"})},
      {"safety_checker", nlohmann::json::array({nullptr, nullptr})},
      {"requires_safety_checker", false}};
  return s;
}

}  // namespace pangu::pipeline
