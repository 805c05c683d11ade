// Models that `pangu-draw train` makes: a small UNet that reads a frozen multilingual BERT, or a
// picture by a CLIP image encoder. Their model_index.json tells them and says their defaults.
#include <algorithm>

#include "pipeline/families/spec.h"

namespace pangu::pipeline {
namespace {

constexpr const char* kOwnPipeline = "PanGuDrawPipeline";

// PanGu-Draw 3 has a folder of the same class, and CLIP's text encoders.
bool is_own(const io::Recognised& what, const nlohmann::json& index) {
  return index.is_object() && index.value("_class_name", "") == kOwnPipeline &&
         what.family != io::Family::kPanguDraw3;
}

bool reads_pictures(const io::Recognised& what) {
  return std::count(what.components.begin(), what.components.end(), "image_encoder") > 0;
}

TextSide bert_of_index(const TextSetup& setup) {
  return bert_side(text_folder_of(setup.source->folder));
}

}  // namespace

FamilySpec own_models() {
  FamilySpec s;
  s.human_name = "model of pangu-draw train";
  s.recognises = is_own;
  s.adapters = {s.family};
  s.defaults = usual_defaults(512);
  // Its latents are few: at other sides the coarsest level would be cut off.
  s.whole_coarsest_level = true;
  s.noise.linear_interpolation = false;  // k-diffusion's convention
  s.draws_from_control_channels = true;
  s.vae_follows_dtype = true;
  s.text_side = bert_of_index;
  s.trainer_names = {"pangu_draw", "pangu-draw"};
  s.folder.pipeline = kOwnPipeline;
  s.training = train_with_captions();
  return s;
}

FamilySpec own_picture_models() {
  FamilySpec s = own_models();
  s.human_name += " that varies a picture";
  s.recognises = [](const io::Recognised& what, const nlohmann::json& index) {
    return is_own(what, index) && reads_pictures(what);
  };
  s.quirks.reads_picture = true;
  s.text_side = picture_side;
  s.training = train_with_pictures();
  return s;
}

}  // namespace pangu::pipeline
