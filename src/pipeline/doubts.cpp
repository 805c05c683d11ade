#include "pipeline/doubts.h"

#include <algorithm>
#include <cmath>

#include "core/message.h"
#include "core/nearest.h"
#include "diffusion/samplers/samplers.h"
#include "diffusion/sigmas.h"
#include "text/prompt.h"

namespace pangu::pipeline {
namespace {

constexpr double kFarArea = 2.0;    // times the model's own, or a part of it
constexpr double kFarShape = 3.0;   // long side over short side
constexpr double kFarWeight = 3.0;  // of words in a prompt; web UIs advise at most about 1.5
constexpr double kFarLora = 3.0;

std::string sides_text(int width, int height) {
  return std::to_string(width) + "x" + std::to_string(height);
}

void doubt_size(const Model& model, const Request& request, const Watch& watch) {
  if (!model.rules.sizes.empty()) return;
  const Request& own = model.rules.defaults;
  const double area = double(*request.width) * *request.height;
  const double ratio = area / (double(*own.width) * *own.height);
  const std::string size = "size: " + sides_text(*request.width, *request.height);
  if (ratio > kFarArea || ratio < 1.0 / kFarArea) {
    watch.warn(size + " is far from " + sides_text(*own.width, *own.height) + ", which '" +
               model.name + "' draws best; " +
               (ratio > 1.0 ? "things may be repeated" : "things may fall apart"));
  }
  const auto [shorter, longer] = std::minmax(*request.width, *request.height);
  if (longer > kFarShape * shorter) {
    watch.warn(size + " is more than " + number_text(kFarShape) +
               " times as long as wide; things may be repeated");
  }
}

void doubt_styles(const Model& model, const Request& request, const Watch& watch) {
  if (model.styles.empty()) return;
  std::vector<std::string> known;
  for (const auto& [name, words] : model.styles) known.push_back(name);
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  for (const std::string& style : request.styles) {
    const std::string words = style_use_from(style).words;
    if (model.styles.count(words)) continue;
    const std::string hint = did_you_mean(words, known);
    watch.warn("style: '" + shortened(words) + "' is none of '" + model.name + "' (" + list +
               "), so its words are put before the prompt" + (hint.empty() ? "" : "; " + hint));
  }
}

void doubt_prompt(const Model& model, const std::string& what, const std::string& prompt,
                  const Watch& watch) {
  if (!model.rules.takes_clip_skip) return;  // weights are read by CLIP's readers
  for (const text::WeightedText& part : text::parse_emphasis(prompt)) {
    if (std::abs(part.weight) <= kFarWeight) continue;
    watch.warn(what + ": '" + shortened(part.text) + "' weighs " + number_text(part.weight) +
               "; beyond about " + number_text(kFarWeight) + " pictures break");
  }
}

// Words that change nothing, by what they would act on.
void doubt_said(const Request& request, const RequestWords& said, int own_clip_skip,
                const Watch& watch) {
  const auto is_said = [&](const char* key) {
    const auto found = said.find(key);
    return found != said.end() && !found->second.empty();
  };
  const auto nothing = [&](const char* key, const std::string& why) {
    if (is_said(key)) watch.warn(find_request_field(key)->flag + " changes nothing: " + why);
  };
  const diffusion::Sampler& sampler = diffusion::find_sampler(*request.sampler);
  if (request.styles.empty()) nothing("style_scale", "there is no --style");
  if (request.mask_image.empty()) {
    nothing("mask_blur", "there is no --mask");
    nothing("composite", "there is no --mask");
  }
  if (*request.guidance == 1.0) {
    const std::string why = "at --guidance 1 there is no guidance";
    for (const char* key : {"guidance_low", "guidance_high", "guidance_rescale"}) nothing(key, why);
  }
  if (!sampler.needs_noise && request.eta.value_or(0.0) == 0.0) {
    nothing("s_noise", sampler.name + " adds no noise");
  }
  if (request.clip_skip > 1 && request.clip_skip <= own_clip_skip) {
    nothing("clip_skip", "the model reads that layer by itself");
  }
  if (!diffusion::find_sigma_rule(*request.schedule).of_timesteps) {
    nothing("spacing", "the schedule " + *request.schedule + " visits no timesteps");
  }
}

}  // namespace

void warn_of_doubts(const Model& model, const Request& request, const RequestWords& said,
                    const Watch& watch) {
  doubt_size(model, request, watch);
  doubt_styles(model, request, watch);
  doubt_prompt(model, "prompt", request.prompt, watch);
  doubt_prompt(model, "negative prompt", request.negative, watch);
  if (!request.negative.empty() && *request.guidance == 1.0) {
    watch.warn(
        "negative prompt: it counts for nothing, since at --guidance 1 there is no guidance");
  }
  doubt_said(request, said, model.rules.own_clip_skip, watch);
}

void warn_of_doubts(const LoadOptions& options, const Watch& watch) {
  for (const LoraUse& use : options.loras) {
    for (const double weight : {use.weight, use.text_weight.value_or(use.weight)}) {
      if (std::abs(weight) <= kFarLora) continue;
      watch.warn("LoRA '" + use.path + "': its weight is " + number_text(weight) +
                 "; beyond about " + number_text(kFarLora) + " pictures break");
    }
  }
}

}  // namespace pangu::pipeline
