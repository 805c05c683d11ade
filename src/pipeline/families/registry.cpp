// The list of families. A family is added here, in a file of its own, and in io/families, which
// recognises its tensors.
#include <algorithm>

#include "pipeline/families/spec.h"

namespace pangu::pipeline {

// Each is defined in the file of its name.
FamilySpec image_variations();
FamilySpec own_models();
FamilySpec own_picture_models();
FamilySpec pangu_draw_3();
FamilySpec sd1();
FamilySpec sd2();
FamilySpec sdxl();
FamilySpec sdxl_refiner();
FamilySpec ssd_1b();

namespace {

// Own models have networks like others', so that their model_index.json is asked first.
std::vector<FamilySpec> all_specs() {
  return {own_picture_models(), own_models(), pangu_draw_3(),    sd1(), sd2(), sdxl(),
          sdxl_refiner(),       ssd_1b(),     image_variations()};
}

FamilySpec unknown_family() {
  FamilySpec spec = sd1();
  spec.family = io::Family::kUnknown;
  spec.adapters = {spec.family};
  spec.folder.pipeline.clear();
  return spec;
}

}  // namespace

std::string modelspec_architecture_of(const FamilySpec& spec, bool predicts_v) {
  const TrainerNames& names = spec.trainer_names;
  return predicts_v && !names.modelspec_v.empty() ? names.modelspec_v : names.modelspec;
}

Request usual_defaults(int side_px) {
  Request r;
  r.sampler = "dpmpp_2m";
  r.schedule = "karras";
  r.noise = "philox";
  r.steps = 25;
  r.guidance = 7.5;
  r.style_scale = 2.0;
  r.width = r.height = side_px;
  return r;
}

std::function<bool(const io::Recognised&, const nlohmann::json&)> family_is(io::Family family) {
  return
      [family](const io::Recognised& what, const nlohmann::json&) { return what.family == family; };
}

const std::vector<FamilySpec>& family_specs() {
  static const std::vector<FamilySpec> specs = all_specs();
  return specs;
}

const FamilySpec& spec_of(const io::Recognised& what, const nlohmann::json& index) {
  const auto& all = family_specs();
  const auto found = std::find_if(
      all.begin(), all.end(), [&](const FamilySpec& spec) { return spec.recognises(what, index); });
  static const FamilySpec unknown = unknown_family();
  return found == all.end() ? unknown : *found;
}

const FamilySpec& spec_of(io::Family family) {
  io::Recognised what;
  what.family = family;
  return spec_of(what, {});
}

}  // namespace pangu::pipeline
