// PanGu-Draw 3 (Lu et al. 2023, arXiv 2312.16486, and its released inference code): SDXL's network
// twice, one for high and one for low noise; Chinese CLIP beside OpenCLIP; an index of the size.
#include <algorithm>

#include "core/error.h"
#include "pipeline/families/spec.h"

namespace pangu::pipeline {
namespace {

constexpr std::ptrdiff_t kSizesAList = 11;

// Width and height: eleven large sizes in the order of their indices, then eleven small ones with
// the same indices. The released list of large sizes lacks 1536x864, without which the indices
// behind it are off by one from those of the small list.
std::vector<std::pair<int, int>> released_sizes() {
  return {{512, 2048}, {512, 1920}, {768, 1536}, {864, 1536}, {960, 1280}, {1024, 1024},
          {1280, 960}, {1536, 864}, {1536, 768}, {1920, 512}, {2048, 512},  //
          {256, 1024}, {256, 960},  {320, 768},  {384, 640},  {448, 576},  {512, 512},
          {576, 448},  {640, 384},  {768, 320},  {960, 256},  {1024, 256}};
}

std::vector<float> index_of_size(const std::vector<std::pair<int, int>>& sizes, int width,
                                 int height) {
  const auto found = std::find(sizes.begin(), sizes.end(), std::pair(width, height));
  if (found == sizes.end()) {
    throw Error(ErrorCode::kInternal, "size_numbers: " + std::to_string(width) + "x" +
                                          std::to_string(height) +
                                          " has no index; RequestRules::sizes names those");
  }
  return {static_cast<float>((found - sizes.begin()) % kSizesAList)};
}

// The words before a prompt that it was trained with, for style guidance.
std::map<std::string, std::map<std::string, std::string>> released_styles() {
  const auto both = [](const char* words) {
    return std::map<std::string, std::string>{{"en", words}, {"zh", words}};
  };
  return {{"aesthetic", both("義 {prompt}")},
          {"cartoon", both("饅 {prompt}")},
          {"photography", both("霙 {prompt}")}};
}

std::vector<ClipEncoderSpec> released_encoders() {
  ClipEncoderSpec chinese, open_clip;
  chinese.vocabulary = "zh";
  chinese.plain = chinese.is_word_piece = true;
  open_clip.component = "text_encoder_2";
  open_clip.tokenizer = "tokenizer_2";
  open_clip.layer = open_clip.layer_of_single_file = ClipLayer::kPenultimate;
  open_clip.is_open_clip = open_clip.plain = true;
  open_clip.cleaning = text::ClipCleaning::kOpenClip;
  return {chinese, open_clip};
}

}  // namespace

FamilySpec pangu_draw_3() {
  FamilySpec s;
  s.family = io::Family::kPanguDraw3;
  s.adapters = {s.family};
  s.recognises = family_is(s.family);
  s.defaults = usual_defaults(1024);
  s.defaults.steps = 40;
  s.defaults.guidance = 6.0;
  s.defaults.style_scale = 4.0;
  s.defaults.sampler = "euler";
  s.defaults.schedule = "normal";
  s.defaults.noise = "numpy";
  s.sizes = released_sizes();
  s.styles = released_styles();
  s.noise.spacing = diffusion::Spacing::kLegacyDdpm;
  s.noise.ddim_ends_at_zero = true;
  s.quirks.lag_switch = s.quirks.truncates_pixels = true;
  s.latent_scale = 0.13025;
  s.released_as_pair = true;
  s.encoders = released_encoders();
  s.reads_pooled = true;
  s.size_numbers = [sizes = s.sizes](const PictureSizes& told) {
    return index_of_size(sizes, told.width, told.height);
  };
  s.trainer_names = {"pangu_draw_3", "pangu-draw-v3"};
  s.folder.pipeline = s.folder.inpaint_pipeline = "PanGuDrawPipeline";
  s.folder.scheduler = "EulerDiscreteScheduler";
  // The expert of high noise serves the upper half of the training steps.
  s.folder.index_keys = {{"_pangu_version", 1}, {"expert_boundary", 500}};
  return s;
}

}  // namespace pangu::pipeline
