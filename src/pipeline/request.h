// What a person asks for, as plain data: validated once, compared, printed, kept in the picture.
// Fields that were not said stay empty until `resolved` fills them with the model's own defaults.
// It knows no file, network or tensor.
#pragma once
#include <cstdint>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace pangu::pipeline {

struct Request {
  std::string prompt;    // UTF-8, any language the model's text encoder knows
  std::string negative;  // the unconditional side of guidance; "" is the empty prompt
  // Style guidance e(c_style_j) - e(c), one forward row each: names out of the model's
  // style_prompts or words to put before the prompt.
  std::vector<std::string> styles;
  double style_scale = 2.0;          // of every style; PanGu-Draw 3 uses 4 beside guidance 6
  std::optional<int> width, height;  // pixels
  std::optional<int> steps;
  std::optional<double> guidance;  // classifier-free scale; 1 is off
  double guidance_rescale = 0.0;   // diffusion::Guidance::rescale
  // Guidance acts where guidance_low < sigma <= guidance_high.
  double guidance_low = 0.0;
  double guidance_high = std::numeric_limits<double>::infinity();
  std::optional<std::string> sampler;   // diffusion::samplers()
  std::optional<std::string> schedule;  // diffusion::sigma_list_names()
  std::optional<uint64_t> seed;         // of the first picture; picture i has seed + i
  int count = 1;

  bool operator==(const Request&) const = default;
};

// What a model allows and prefers.
struct RequestRules {
  Request defaults;  // width, height, steps, guidance, sampler, schedule are set
  int size_multiple = 8;
  int min_side_px = 64;
  int max_side_px = 2048;
  int max_steps = 1000;
};

inline constexpr int kMaxCount = 10000;
inline constexpr size_t kMaxPromptBytes = size_t{16} << 10;

// Empty optionals become the rules' defaults, an empty seed `fresh_seed`; then validates.
Request resolved(Request request, const RequestRules& rules, uint64_t fresh_seed);

// Error kBadInput naming the field, what it may be and, for a size, the two nearest that may.
// REQUIRES: every optional is set (kInternal error otherwise).
void validate(const Request& request, const RequestRules& rules);

// "256x192" or "256" (a square) -> width, height. Error kBadInput for anything else.
std::pair<int, int> size_from(const std::string& text);

// One flat object, keys as the fields above; an infinite guidance_high and fields not said are
// null.
nlohmann::json to_json(const Request& request);
// Missing keys and nulls keep their defaults. Error kBadInput names an unknown key or one of the
// wrong type.
Request request_from_json(const nlohmann::json& json);

}  // namespace pangu::pipeline
