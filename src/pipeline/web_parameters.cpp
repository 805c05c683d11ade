#include "pipeline/web_parameters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "core/error.h"
#include "core/message.h"
#include "core/number.h"
#include "diffusion/samplers/sampler_names.h"
#include "diffusion/samplers/samplers.h"
#include "text/prompt.h"

namespace pangu::pipeline {
namespace {

constexpr size_t kModelHashDigits = 10, kLoraHashDigits = 12;  // as the web UI shortens them
constexpr double kSameShape = 0.02;  // by which "Hires resize" may be of another shape: rounding
constexpr const char* kLanczos = "Lanczos";  // how pictures are enlarged without a network
constexpr const char* kPlotScript = "X/Y/Z plot";

bool is_of_plot(const std::string& name) {
  return name == "Script" || name.ends_with(" Type") || name.ends_with(" Values");
}

std::string stem_of(const std::string& path) {
  const std::filesystem::path last(path.ends_with('/') ? path.substr(0, path.size() - 1) : path);
  return std::filesystem::is_directory(last) ? last.filename().string() : last.stem().string();
}

// "DPM++ 2M Karras": both in one name, which every version of the web UI reads.
std::string web_sampler(const Request& request) {
  const diffusion::Sampler& sampler = diffusion::find_sampler(*request.sampler);
  const diffusion::SigmaRule& rule = diffusion::find_sigma_rule(*request.schedule);
  std::string name = sampler.web_name.empty() ? sampler.name : sampler.web_name;
  if (rule.is_curve) name += " " + (rule.web_name.empty() ? rule.name : rule.web_name);
  return name;
}

std::string web_schedule(const Request& request) {
  const diffusion::SigmaRule& rule = diffusion::find_sigma_rule(*request.schedule);
  return rule.web_name.empty() ? rule.name : rule.web_name;
}

// The prompt, with tags of the LoRAs that it does not name itself.
std::string web_prompt(const Request& request, const PictureKeeps& keeps) {
  std::set<std::string> named;
  for (const auto& tag : text::extract_networks(request.prompt).networks) named.insert(tag.name);
  std::string prompt = request.prompt;
  for (const LoraUse& use : keeps.model.load.loras) {
    const std::string name = stem_of(use.path);
    if (named.count(name)) continue;
    prompt += "<lora:" + name + ":";
    if (use.text_weight) prompt += number_text(*use.text_weight) + ":";
    prompt += number_text(use.weight) + ">";
  }
  return prompt;
}

std::string lora_hashes(const PictureKeeps& keeps) {
  std::string list;
  for (const LoraUse& use : keeps.model.load.loras) {
    const std::string digits = keeps.lora_hash(use.path).substr(0, kLoraHashDigits);
    if (!digits.empty()) list += (list.empty() ? "" : ", ") + stem_of(use.path) + ": " + digits;
  }
  return list;
}

// How a setting of the web UI becomes a part of a request.
using ReadSetting = std::function<void(const std::string& value, WebRequest& found)>;

double number_in_setting(const std::string& value) { return number_of("its value", value); }

template <class T>
T whole_in_setting(const std::string& value) {
  T number{};
  const char* const end = value.data() + value.size();
  const auto [rest, failed] = std::from_chars(value.data(), end, number);
  if (failed != std::errc() || rest != end) {
    throw bad_input("its value", "a whole number of 0 or more", "'" + shortened(value) + "'");
  }
  return number;
}

// A sampler that is not ours costs the sampler, not the picture.
void read_sampler_name(const std::string& value, WebRequest& found) {
  try {
    const diffusion::NamedSampler named = diffusion::named_sampler(value);
    found.request.sampler = named.sampler;
    if (named.schedule) found.request.schedule = named.schedule;
    if (!found.request.schedule) found.request.schedule = "normal";  // as there before 1.9
  } catch (const Error&) {
    found.unmatched.push_back("Sampler: " + value);
  }
}

void read_schedule_type(const std::string& value, WebRequest& found) {
  try {
    found.request.schedule = diffusion::named_schedule(value);
  } catch (const Error&) {
    found.unmatched.push_back("Schedule type: " + value);
  }
}

void read_noise_source(const std::string& value, WebRequest& found) {
  if (value == "CPU") {
    found.request.noise = "torch-cpu";
  } else {
    found.unmatched.push_back("RNG: " + value);
  }
}

// Of the second pass if there is one. Else the picture that it was drawn from is not in the text.
void read_strength(const std::string& value, WebRequest& found) {
  if (found.request.hires_scale > 1.0) {
    found.request.hires_strength = number_in_setting(value);
    return;
  }
  found.request.strength = number_in_setting(value);
  found.unmatched.push_back("Denoising strength: " + value + " (--init-image says of what)");
}

// "1024x1536", where "Hires upscale" says no factor.
void read_hires_size(const std::string& value, WebRequest& found) {
  const auto [width, height] = size_from(value);
  const double scale = double(width) / found.request.width.value_or(width);
  const double other = double(height) / found.request.height.value_or(height);
  if (scale > 1.0 && std::abs(scale / other - 1.0) < kSameShape) {
    found.request.hires_scale = scale;
  } else {
    found.unmatched.push_back("Hires resize: " + value);
  }
}

// Both passes have as many steps here.
void read_hires_steps(const std::string& value, WebRequest& found) {
  const int steps = whole_in_setting<int>(value);
  if (steps == 0 || steps == found.request.steps.value_or(steps)) return;
  found.unmatched.push_back("Hires steps: " + value);
}

// A network's file is not in the text.
ReadSetting upscaler_reader(const std::string& name) {
  return [name](const std::string& value, WebRequest& found) {
    if (value == kLanczos) return;
    found.unmatched.push_back(name + ": " + shortened(value) +
                              " (--upscaler FILE loads it; Lanczos enlarges without)");
  };
}

// What the axes of an X/Y plot are called there.
constexpr std::pair<const char*, const char*> kPlotTypes[] = {{"Steps", "steps"},
                                                              {"CFG Scale", "guidance"},
                                                              {"Seed", "seed"},
                                                              {"Sampler", "sampler"},
                                                              {"Schedule type", "schedule"},
                                                              {"Denoising", "strength"},
                                                              {"Clip skip", "clip_skip"},
                                                              {"Eta", "eta"},
                                                              {"Sigma noise", "s_noise"},
                                                              {"Size", "size"},
                                                              {"Checkpoint name", kModelAxis}};

std::string plot_type(const std::string& key) {
  for (const auto& [type, own] : kPlotTypes) {
    if (own == key) return type;
  }
  return key;
}

std::string plot_key(const std::string& called) {
  for (const auto& [type, own] : kPlotTypes) {
    if (type == called) return own;
  }
  return called;
}

// The value of an axis' setting, "X Values", or its values as they came out.
std::string plot_values(const text::Infotext& info, const std::string& axis) {
  const auto fixed = info.find("Fixed " + axis + " Values");
  return fixed ? *fixed : info.find(axis + " Values").value_or("");
}

// Nothing where an axis has no counterpart, and of other scripts.
std::optional<Grid> plot_of(const text::Infotext& info, const Request& request) {
  if (info.find("Script") != kPlotScript || info.find("Z Type")) return {};
  nlohmann::json axes = nlohmann::json::array();
  for (const char* axis : {"X", "Y"}) {
    const auto type = info.find(std::string(axis) + " Type");
    if (!type || *type == "Nothing") continue;
    axes.push_back(
        {{"key", plot_key(*type)}, {"values", grid_values_from(plot_values(info, axis))}});
  }
  Grid grid = grid_from_json(axes);
  for (size_t row = 0; row < grid.rows(); ++row) {
    for (size_t column = 0; column < grid.columns(); ++column) {
      grid.request_of(request, column, row);
    }
  }
  return grid;
}

// The plot, or, where it is none of ours, all that was said of it.
void read_plot(const text::Infotext& info, WebRequest& found) {
  try {
    found.grid = plot_of(info, found.request);
  } catch (const Error&) {
  }
  if (found.grid) return;
  for (const auto& [name, value] : info.settings) {
    if (is_of_plot(name)) found.unmatched.push_back(name + ": " + shortened(value));
  }
}

// In the order in which they count: a schedule of its own goes before that in a sampler's name.
const std::vector<std::pair<std::string, ReadSetting>>& settings_read() {
  static const std::vector<std::pair<std::string, ReadSetting>> all = {
      {"Steps", [](auto& v, auto& f) { f.request.steps = whole_in_setting<int>(v); }},
      {"Sampler", read_sampler_name},
      {"Schedule type", read_schedule_type},
      {"CFG scale", [](auto& v, auto& f) { f.request.guidance = number_in_setting(v); }},
      {"Seed", [](auto& v, auto& f) { f.request.seed = whole_in_setting<uint64_t>(v); }},
      {"Size",
       [](auto& v, auto& f) { std::tie(f.request.width, f.request.height) = size_from(v); }},
      {"Model", [](auto& v, auto& f) { f.model = v; }},
      {"Model hash", [](auto& v, auto& f) { f.model_hash = v; }},
      {"Clip skip", [](auto& v, auto& f) { f.request.clip_skip = whole_in_setting<int>(v); }},
      {"Hires upscale", [](auto& v, auto& f) { f.request.hires_scale = number_in_setting(v); }},
      {"Hires resize", read_hires_size},
      {"Hires steps", read_hires_steps},
      {"Hires upscaler", upscaler_reader("Hires upscaler")},
      {"Denoising strength", read_strength},
      {"Postprocess upscale by",
       [](auto& v, auto& f) { f.request.upscale = number_in_setting(v); }},
      {"Postprocess upscaler", upscaler_reader("Postprocess upscaler")},
      {"Mask blur",
       [](auto& v, auto& f) {
         f.request.mask_blur = static_cast<int>(std::lround(number_in_setting(v)));
       }},
      {"Eta", [](auto& v, auto& f) { f.request.eta = number_in_setting(v); }},
      {"Sigma noise", [](auto& v, auto& f) { f.request.s_noise = number_in_setting(v); }},
      {"RNG", read_noise_source},
      // What says no more than others, or nothing of the picture.
      {"Lora hashes", [](auto&, auto&) {}},
      {"TI hashes", [](auto&, auto&) {}},
      {"VAE hash", [](auto&, auto&) {}},
      {"Version", [](auto&, auto&) {}},
  };
  return all;
}

}  // namespace

text::Infotext web_parameters(const Model& model, const Request& request,
                              const PictureKeeps& keeps) {
  text::Infotext info;
  info.prompt = web_prompt(request, keeps);
  info.negative = request.negative;
  const auto say = [&](const char* name, const std::string& value) {
    if (!value.empty()) info.settings.emplace_back(name, value);
  };
  const LoadOptions& load = keeps.model.load;
  say("Steps", std::to_string(*request.steps));
  say("Sampler", web_sampler(request));
  say("Schedule type", web_schedule(request));
  say("CFG scale", number_text(*request.guidance));
  say("Seed", std::to_string(*request.seed));
  say("Size", std::to_string(*request.width) + "x" + std::to_string(*request.height));
  const std::string hash = keeps.model_hash ? keeps.model_hash() : "";
  say("Model hash", (hash.empty() ? model.fingerprint : hash).substr(0, kModelHashDigits));
  say("Model", model.name);
  if (!load.vae.empty()) say("VAE", stem_of(load.vae));
  const std::string upscaler = load.upscaler.empty() ? kLanczos : stem_of(load.upscaler);
  if (request.hires_scale > 1.0) {
    if (request.init_image.empty()) {
      say("Denoising strength", number_text(request.hires_strength));
    }
    say("Hires upscale", number_text(request.hires_scale));
    say("Hires steps", std::to_string(*request.steps));
    say("Hires upscaler", upscaler);
  }
  if (request.upscale > 1.0) {
    say("Postprocess upscale by", number_text(request.upscale));
    say("Postprocess upscaler", upscaler);
  }
  if (!request.init_image.empty()) say("Denoising strength", number_text(*request.strength));
  if (!request.mask_image.empty()) say("Mask blur", std::to_string(request.mask_blur));
  if (request.clip_skip > 1) say("Clip skip", std::to_string(request.clip_skip));
  if (request.eta) say("Eta", number_text(*request.eta));
  if (request.s_noise != 1.0) say("Sigma noise", number_text(request.s_noise));
  if (*request.noise == "torch-cpu") say("RNG", "CPU");
  if (!load.refiner.empty()) {
    say("Refiner", stem_of(load.refiner));
    say("Refiner switch at", number_text(load.refiner_start));
  }
  if (keeps.lora_hash) say("Lora hashes", lora_hashes(keeps));
  if (keeps.grid) {
    say("Script", kPlotScript);
    for (size_t i = 0; i < keeps.grid->axes.size(); ++i) {
      const std::string axis = i == 0 ? "X" : "Y";
      say((axis + " Type").c_str(), plot_type(keeps.grid->axes[i].key));
      say((axis + " Values").c_str(), grid_values_text(keeps.grid->axes[i].values));
    }
  }
  say("Version", "pangu-draw");
  return info;
}

WebRequest request_of_parameters(const text::Infotext& info) {
  WebRequest found;
  found.request.prompt = info.prompt;
  found.request.negative = info.negative;
  const auto& known = settings_read();
  for (const auto& [name, read] : known) {
    const auto value = info.find(name);
    if (!value) continue;
    try {
      read(*value, found);
    } catch (const Error& error) {
      throw while_doing("reading '" + name + ": " + shortened(*value) + "'", error);
    }
  }
  for (const auto& [name, value] : info.settings) {
    const bool is_known = std::any_of(known.begin(), known.end(),
                                      [&](const auto& setting) { return setting.first == name; });
    if (!is_known && !is_of_plot(name)) {
      found.unmatched.push_back(name + ": " + shortened(value));
    }
  }
  read_plot(info, found);
  return found;
}

}  // namespace pangu::pipeline
