// What a request may be, and what it becomes for a model.
#include "pipeline/request.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/file_options.h"
#include "core/message.h"
#include "core/nearest.h"
#include "core/number.h"
#include "core/utf8.h"
#include "diffusion/image_noise.h"
#include "diffusion/samplers/samplers.h"
#include "image/fit.h"
#include "pipeline/feature_reuse.h"

namespace pangu::pipeline {
namespace {

constexpr double kMaxEnlargement = 8.0;
constexpr double kMaxScale = 100.0;
constexpr size_t kMaxStyles = 8;
constexpr int kMaxClipSkip = 12;
constexpr int kMaxMaskBlur = 256;
constexpr double kImageStrength = 0.75;  // as web UIs begin
constexpr double kMaskStrength = 1.0;

void check_range(const char* what, double value, double low, double high, const char* hint = "") {
  if (value >= low && value <= high) return;
  throw bad_input(what, number_text(low) + " to " + number_text(high), number_text(value), hint);
}

void check_whole(const char* what, int value, int low, int high) {
  if (value >= low && value <= high) return;
  throw bad_input(what, std::to_string(low) + " to " + std::to_string(high), std::to_string(value));
}

void check_text(const std::string& what, const std::string& text) {
  if (!is_utf8(text))
    throw bad_input(what, "UTF-8", "other bytes", "is the terminal's locale UTF-8?");
  if (text.size() > kMaxPromptBytes) {
    throw bad_input(what, "at most " + std::to_string(kMaxPromptBytes) + " bytes",
                    std::to_string(text.size()));
  }
}

void check_side(const char* what, int side, const RequestRules& rules) {
  const int unit = rules.size_multiple;
  const int low = (rules.min_side_px + unit - 1) / unit * unit,
            high = rules.max_side_px / unit * unit;
  if (side >= low && side <= high && side % unit == 0) return;
  const std::string expected = "a multiple of " + std::to_string(unit) + " from " +
                               std::to_string(low) + " to " + std::to_string(high);
  const int below = std::clamp(side / unit * unit, low, high);
  const int above = std::min(below + unit, high);
  std::string hint = "the nearest is " + std::to_string(side < low ? low : high);
  if (side > low && side < high) {
    hint = "the nearest are " + std::to_string(below) + " and " + std::to_string(above);
  }
  throw bad_input(what, expected, std::to_string(side), hint);
}

void check_listed_size(int width, int height, const RequestRules& rules) {
  if (rules.sizes.empty()) return;
  const auto text = [](std::pair<int, int> size) {
    return std::to_string(size.first) + "x" + std::to_string(size.second);
  };
  std::string known;
  for (const auto& size : rules.sizes) {
    if (size == std::pair(width, height)) return;
    known += (known.empty() ? "one of " : ", ") + text(size);
  }
  throw bad_input("size", known, text({width, height}),
                  "the model was trained at these sizes only; of similar shape is " +
                      text(nearest_size(width, height, rules)));
}

void check_sampler(const Request& request, const diffusion::Sampler& sampler) {
  if (request.eta && !sampler.takes_eta) {
    throw bad_input("eta", "none, since " + sampler.name + " adds no share of noise",
                    number_text(*request.eta));
  }
  if (request.eta) check_range("eta", *request.eta, 0.0, kMaxScale);
  if (request.sampler_order && sampler.most_order == 0) {
    throw bad_input("sampler order", "none, since " + sampler.name + " has one order only",
                    std::to_string(*request.sampler_order));
  }
  if (request.sampler_order) {
    check_whole("sampler order", *request.sampler_order, 1, sampler.most_order);
  }
  check_range("s_noise", request.s_noise, 0.0, kMaxScale, "1 is what the samplers were made for");
}

template <class T>
const T& said(const std::optional<T>& field, const char* name) {
  if (!field) throw Error(ErrorCode::kInternal, std::string("request: ") + name + " is not set");
  return *field;
}

// What belongs to a picture to start from, and to its mask.
void check_start_picture(const Request& request) {
  if (request.init_image.empty()) {
    if (!request.mask_image.empty()) {
      throw bad_input("mask", "a picture to keep the rest of (init image)", "none");
    }
    if (!request.strength) return;
    throw bad_input("strength", "none, since there is no picture to start from",
                    number_text(*request.strength), "--init-image names one");
  }
  const double strength = said(request.strength, "strength");
  if (!(strength > 0.0 && strength <= 1.0)) {
    throw bad_input("strength", "above 0 and at most 1", number_text(strength),
                    "1 draws all anew, 0.3 changes little");
  }
}

}  // namespace

std::pair<int, int> nearest_size(int width, int height, const RequestRules& rules) {
  // Apart by how many times wider and how many times larger, shape before area.
  const auto distance = [&](std::pair<int, int> size) {
    const double w = double(size.first) / width, h = double(size.second) / height;
    return std::pair(std::round(std::abs(std::log(w / h)) * 1e6), std::abs(std::log(w * h)));
  };
  return *std::min_element(rules.sizes.begin(), rules.sizes.end(),
                           [&](auto a, auto b) { return distance(a) < distance(b); });
}

void validate(const Request& request, const RequestRules& rules) {
  const bool from_picture =
      !request.image_prompt.empty() || !request.init_image.empty() || !request.controls.empty();
  if (!from_picture && request.prompt.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw bad_input("prompt", "what to draw", "nothing");
  }
  check_text("prompt", request.prompt);
  check_text("negative prompt", request.negative);
  if (request.styles.size() > kMaxStyles) {
    throw bad_input("styles", "at most " + std::to_string(kMaxStyles),
                    std::to_string(request.styles.size()));
  }
  for (const std::string& style : request.styles) {
    check_text("style", style);
    const StyleUse use = style_use_from(style);
    if (use.words.empty()) throw bad_input("style", "a name or words", "nothing");
    if (use.scale) check_range("style scale", *use.scale, -kMaxScale, kMaxScale);
  }
  check_range("style scale", said(request.style_scale, "style_scale"), -kMaxScale, kMaxScale);
  check_side("width", said(request.width, "width"), rules);
  check_side("height", said(request.height, "height"), rules);
  check_listed_size(*request.width, *request.height, rules);
  check_whole("steps", said(request.steps, "steps"), 1, rules.max_steps);
  check_range("guidance", said(request.guidance, "guidance"), -kMaxScale, kMaxScale,
              "1 is without guidance, 3 to 8 is usual");
  check_range("guidance rescale", request.guidance_rescale, 0.0, 1.0);
  const double low = said(request.guidance_low, "guidance_low");
  if (!(low >= 0.0 && low <= request.guidance_high)) {
    throw bad_input("guidance interval", "0 <= guidance_low <= guidance_high",
                    number_text(low) + " to " + number_text(request.guidance_high),
                    "both are noise levels (sigma), as --plan lists them");
  }
  check_sampler(request, diffusion::find_sampler(said(request.sampler, "sampler")));
  diffusion::find_sigma_rule(said(request.schedule, "schedule"));
  if (request.spacing) diffusion::spacing_from(*request.spacing);
  diffusion::noise_kind_from(said(request.noise, "noise"));
  check_whole("count", request.count, 1, kMaxCount);
  check_whole("clip skip", request.clip_skip, 1, kMaxClipSkip);
  reuse_of(request, rules);
  image::fit_from(request.resize_mode);
  check_range("upscale", request.upscale, 1.0, kMaxEnlargement);
  check_range("hires_scale", request.hires_scale, 1.0, kMaxEnlargement, "1 is without");
  check_range("hires_strength", request.hires_strength, 0.0, 1.0);
  check_whole("mask blur", request.mask_blur, 0, kMaxMaskBlur);
  check_start_picture(request);
  if (request.clip_skip != 1 && !rules.takes_clip_skip) {
    throw bad_input("clip skip", "none, since the model does not read prompts by CLIP",
                    std::to_string(request.clip_skip));
  }
  for (const ControlUse& use : request.controls) {
    check_range("control weight", use.weight, -kMaxScale, kMaxScale);
    if (!(use.from >= 0.0 && use.from < use.to && use.to <= 1.0)) {
      throw bad_input("control range", "0 <= from < to <= 1",
                      number_text(use.from) + " to " + number_text(use.to));
    }
  }
  const uint64_t last = std::numeric_limits<uint64_t>::max() - static_cast<uint64_t>(kMaxCount);
  if (said(request.seed, "seed") > last) {
    throw bad_input("seed", "0 to " + std::to_string(last), std::to_string(*request.seed));
  }
}

Request resolved(Request request, const RequestRules& rules, uint64_t fresh_seed) {
  const auto fill = [](auto& field, const auto& fallback) {
    if (!field) field = fallback;
  };
  const Request& defaults = rules.defaults;
  // One side alone makes a square: the other side's default may be far from it.
  if (request.width && !request.height) request.height = request.width;
  if (request.height && !request.width) request.width = request.height;
  fill(request.width, defaults.width);
  fill(request.height, defaults.height);
  fill(request.steps, defaults.steps);
  fill(request.guidance, defaults.guidance);
  fill(request.guidance_low, defaults.guidance_low.value_or(0.0));
  fill(request.style_scale, defaults.style_scale);
  fill(request.sampler, defaults.sampler);
  fill(request.schedule, defaults.schedule);
  fill(request.spacing, defaults.spacing);
  fill(request.noise, defaults.noise);
  fill(request.seed, std::optional<uint64_t>(fresh_seed));
  if (!request.init_image.empty()) {
    fill(request.strength, request.mask_image.empty() ? kImageStrength : kMaskStrength);
  }
  validate(request, rules);
  return request;
}

std::pair<int, int> size_from(const std::string& text) {
  const auto number = [&](std::string_view part) {
    int value = 0;
    const auto [end, failed] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (failed != std::errc() || end != part.data() + part.size() || value <= 0) {
      throw bad_input("size", "WIDTHxHEIGHT in pixels, or one number for a square",
                      "\"" + text + "\"", "for example 256x256");
    }
    return value;
  };
  const std::string_view whole = text;
  const size_t cross = whole.find_first_of("xX*");
  if (cross == std::string_view::npos) return {number(whole), number(whole)};
  return {number(whole.substr(0, cross)), number(whole.substr(cross + 1))};
}

StyleUse style_use_from(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {text, {}};
  double scale = 0.0;
  const char* const end = text.data() + text.size();
  const auto [rest, failed] = std::from_chars(text.data() + colon + 1, end, scale);
  if (failed != std::errc() || rest != end) return {text, {}};
  return {text.substr(0, colon), scale};
}

ControlUse control_use_from(const std::string& text) {
  const FileOptions said = file_options_from(text);
  ControlUse use;
  use.image = said.file;
  if (has_lost_comma(said)) {
    throw bad_input("control picture", "FILE[,weight=W][,from=A][,to=B]", "'" + text + "'");
  }
  for (const auto& [key, value] : said.options) {
    if (key != "weight" && key != "from" && key != "to") {
      throw bad_input("control picture", "FILE[,weight=W][,from=A][,to=B]", "'" + text + "'",
                      did_you_mean(key, {"weight", "from", "to"}));
    }
    (key == "weight" ? use.weight
     : key == "from" ? use.from
                     : use.to) = number_of("control picture, " + key, value);
  }
  return use;
}

}  // namespace pangu::pipeline
