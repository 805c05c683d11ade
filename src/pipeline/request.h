// What a person asks for, as plain data: validated once, compared, printed, kept in the picture.
// Fields that were not said stay empty until `resolved` fills them with the model's own defaults.
// It knows no file, network or tensor.
#pragma once
#include <cstdint>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pangu::pipeline {

// A ControlNet's part in a drawing.
struct ControlUse {
  std::string image;            // the control picture's file
  double weight = 1.0;          // of its residuals
  double from = 0.0, to = 1.0;  // share of the steps at which it begins and ends
  bool operator==(const ControlUse&) const = default;
};

struct Request {
  std::string prompt;    // UTF-8, any language the model's text encoder knows
  std::string negative;  // the unconditional side of guidance; "" is the empty prompt
  // Style guidance e(c_style_j) - e(c), one forward row each: names out of the model's
  // style_prompts or words to put before the prompt, each with a scale of its own or without
  // (style_use_from).
  std::vector<std::string> styles;
  std::optional<double> style_scale;  // of every style that says none
  std::optional<int> width, height;   // pixels
  std::optional<int> steps;
  std::optional<double> guidance;  // classifier-free scale; 1 is off
  double guidance_rescale = 0.0;   // diffusion::Guidance::rescale
  // Guidance acts where guidance_low < sigma <= guidance_high; elsewhere a step costs the prompt's
  // row alone.
  std::optional<double> guidance_low;
  double guidance_high = std::numeric_limits<double>::infinity();
  std::optional<std::string> sampler;   // diffusion::samplers()
  std::optional<std::string> schedule;  // diffusion::sigma_rules()
  std::optional<std::string> spacing;   // diffusion::spacing_from; empty: the model's own
  std::optional<std::string> noise;     // diffusion::noise_kind_from
  // diffusion::SamplerOptions, of samplers that take them; the sampler's own unless said.
  std::optional<double> eta;
  std::optional<int> sampler_order;
  double s_noise = 1.0;          // factor of the noise that a sampler adds in its steps
  std::optional<uint64_t> seed;  // of the first picture; picture i has seed + i
  int count = 1;
  // The layer of a CLIP text encoder whose states are read, from its end, as web UIs count: 2 is
  // the one before the last. Those behind the family's own (RequestRules::own_clip_skip) stand for
  // it.
  int clip_skip = 1;

  // Deep features of the network that several steps share, so that a picture takes less time and
  // becomes a little another: feature_reuse_from in pipeline/feature_reuse.h reads it.
  std::string reuse_features = "off";

  // Files as they were named; the pixels are draw()'s argument. Empty: none.
  std::string init_image;            // image-to-image
  std::string image_prompt;          // what image-variation models read instead of the prompt
  std::string mask_image;            // white is drawn anew, black stays (needs init_image)
  std::optional<double> strength;    // of the noise put on init_image, which it needs
  int mask_blur = 4;                 // pixels, standard deviation of the mask's soft edge
  bool composite = true;             // outside the mask the pixels of init_image themselves
  std::string resize_mode = "crop";  // of pictures of another shape: image::fit_from
  double upscale = 1.0;              // of the finished picture, by the model's upscaler or Lanczos
  // Above 1 the picture is drawn in two sizes, width x height and this many times that (hires.h);
  // the second draws this share of the steps.
  double hires_scale = 1.0;
  double hires_strength = 0.7;
  std::vector<ControlUse> controls;  // one for each ControlNet loaded with the model

  bool operator==(const Request&) const = default;
};

// What a model allows and prefers.
struct RequestRules {
  // width, height, steps, guidance, style_scale, sampler, schedule, noise are set; guidance_low is
  // 0 unless said
  Request defaults;
  int size_multiple = 8;
  int min_side_px = 64;
  int max_side_px = 2048;
  // Width and height of a model that draws at these sizes only; empty: the three above decide.
  std::vector<std::pair<int, int>> sizes;
  int max_steps = 1000;
  bool takes_clip_skip = true;  // it reads prompts by CLIP ...
  int own_clip_skip = 1;        // ... at this layer unless a request says an earlier one
  // The greatest nn::DeepFeatures::depth of the model's networks; 0: they cannot reuse features.
  int most_reuse_depth = 0;
  int reuse_depth = 1;  // the depth unless a request says one
};

inline constexpr int kMaxCount = 10000;
inline constexpr size_t kMaxPromptBytes = size_t{16} << 10;

// Empty optionals become the rules' defaults, an empty seed `fresh_seed`; then validates.
Request resolved(Request request, const RequestRules& rules, uint64_t fresh_seed);

// Of rules.sizes (not empty) the one of most similar shape, then of most similar area.
std::pair<int, int> nearest_size(int width, int height, const RequestRules& rules);

// Error kBadInput naming the field, what it may be and, for a size, the nearest that may.
// REQUIRES: every optional is set (kInternal error otherwise).
void validate(const Request& request, const RequestRules& rules);

// "256x192" or "256" (a square) -> width, height. Error kBadInput for anything else.
std::pair<int, int> size_from(const std::string& text);

// A style and its scale, empty where it says none.
struct StyleUse {
  std::string words;
  std::optional<double> scale;
};
// "WORDS[:SCALE]": what stands behind the last colon is the scale if it is a number.
StyleUse style_use_from(const std::string& text);

// "FILE[,weight=W][,from=A][,to=B]"; a FILE that is there may have commas in its name. Error
// kBadInput for anything else.
ControlUse control_use_from(const std::string& text);

// One flat object, keys as the fields above; an infinite guidance_high, reuse_features that are off
// and fields not said are null.
nlohmann::json to_json(const Request& request);
// Missing keys and nulls keep their defaults. Error kBadInput names an unknown key or one of the
// wrong type.
Request request_from_json(const nlohmann::json& json);

}  // namespace pangu::pipeline
