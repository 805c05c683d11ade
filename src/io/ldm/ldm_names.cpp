// Splits a single file by prefix and renames what it finds. The rules of a network's inside are in
// ldm_unet.cpp, ldm_vae.cpp and clip_names.cpp; here it is only decided which component gets which
// tensor. single_file.cpp reads the same table of sections the other way.
#include "io/ldm/ldm_names.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/error.h"
#include "io/ldm/ldm_parts.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

// A kind of tensor that training programs leave in a file and that is no weight: how its name
// begins, and what it is.
struct Leftover {
  std::string_view begins, what;
};
constexpr std::array kLeftovers = {Leftover{"model_ema.", "EMA copy"},
                                   Leftover{"ema.", "EMA copy"},
                                   Leftover{"first_stage_model.loss.", "training loss"},
                                   Leftover{"loss.", "training loss"},
                                   Leftover{"optimizer", "optimizer state"},
                                   Leftover{"moment1.", "optimizer state"},
                                   Leftover{"moment2.", "optimizer state"},
                                   Leftover{"moments.", "optimizer state"},
                                   Leftover{"adam_m.", "optimizer state"},
                                   Leftover{"adam_v.", "optimizer state"},
                                   Leftover{"epoch_num", "optimizer state"},
                                   Leftover{"step_num", "optimizer state"},
                                   Leftover{"global_step", "optimizer state"},
                                   Leftover{"learning_rate", "optimizer state"},
                                   Leftover{"embedding_manager.", "optimizer state"},
                                   Leftover{"betas", "buffer"},
                                   Leftover{"alphas_", "buffer"},
                                   Leftover{"sqrt_", "buffer"},
                                   Leftover{"log_one_minus_", "buffer"},
                                   Leftover{"posterior_", "buffer"},
                                   Leftover{"logvar", "buffer"},
                                   Leftover{"lvlb_weights", "buffer"},
                                   Leftover{"denoiser.", "buffer"},
                                   Leftover{"scale_factor", "buffer"},
                                   Leftover{"edm_", "marker"},
                                   Leftover{"v_pred", "marker"},
                                   Leftover{"ztsnr", "marker"},
                                   Leftover{"difference", "marker"}};
constexpr std::array<std::string_view, 4> kBufferEndings = {"position_ids", "logit_scale",
                                                            "attn_mask", "num_batches_tracked"};

std::optional<std::string> leftover_of(std::string_view name) {
  for (const Leftover& leftover : kLeftovers) {
    if (name.starts_with(leftover.begins)) return std::string(leftover.what);
  }
  for (const std::string_view ending : kBufferEndings) {
    if (name == ending || name.ends_with("." + std::string(ending))) return "buffer";
  }
  return std::nullopt;
}

// Of a file with OpenCLIP's image tower, the text tower below this prefix is not read.
constexpr std::string_view kOpenClipText = "cond_stage_model.model.";
constexpr std::array kSections = {
    Section{"model.diffusion_model.", "unet", rename_ldm_unet, restore_ldm_unet},
    Section{"control_model.", "controlnet", rename_ldm_controlnet},
    Section{"first_stage_model.", "vae", rename_ldm_vae, restore_ldm_vae},
    Section{"cond_stage_model.transformer.vision_model.", "image_encoder", rename_clip_vision},
    Section{"cond_stage_model.vision_model.", "image_encoder", rename_clip_vision},
    Section{"cond_stage_model.transformer.", "text_encoder", rename_clip_text, restore_clip_text},
    Section{"cond_stage_model.model.visual.", "image_encoder", rename_openclip_image},
    Section{kOpenClipText, "text_encoder", rename_openclip, restore_openclip},
    Section{"conditioner.embedders.0.transformer.", "text_encoder", rename_clip_text,
            restore_clip_text},
    Section{"conditioner.embedders.0.model.", "text_encoder_2", rename_openclip, restore_openclip},
    Section{"conditioner.embedders.1.model.", "text_encoder_2", rename_openclip, restore_openclip}};

std::vector<Section> sections_of(const TensorViews& tensors, const Recognised& what) {
  if (what.layout == Layout::kDiffusers || what.part == Part::kTinyVae ||
      what.part == Part::kTextEncoder || what.part == Part::kImageEncoder) {
    const std::string component = what.components.empty() ? "" : what.components.front();
    if (component.empty()) return {};
    const std::string_view name = component == "unet"           ? "unet"
                                  : component == "controlnet"   ? "controlnet"
                                  : component == "vae"          ? "vae"
                                  : component == "text_encoder" ? "text_encoder"
                                                                : "image_encoder";
    const RenameRule rule = what.part == Part::kTinyVae                 ? rename_taesd
                            : what.part == Part::kVae                   ? rename_diffusers_vae
                            : what.part == Part::kImageEncoder          ? rename_clip_image
                            : what.text_encoder == TextTower::kOpenClip ? rename_openclip
                            : what.text_encoder == TextTower::kClip     ? rename_clip_text
                                                                        : keep_names;
    return {{"", name, rule}};
  }
  const bool prefixed_control = any_begins(tensors, "control_model.");
  std::vector<Section> sections(kSections.begin(), kSections.end());
  if (any_begins(tensors, std::string(kOpenClipText) + "visual.")) {
    for (Section& section : sections) {
      if (section.prefix == kOpenClipText) section.component = "";
    }
  }
  if (what.part == Part::kUnet) sections.push_back({"", "unet", rename_ldm_unet});
  if (what.part == Part::kVae) sections.push_back({"", "vae", rename_ldm_vae});
  if (what.part == Part::kControlNet && !prefixed_control) {
    sections.push_back({"", "controlnet", rename_ldm_controlnet});
  }
  return sections;
}

}  // namespace

std::span<const Section> checkpoint_sections() { return kSections; }

Components components_of(const TensorViews& tensors, const Recognised& what) {
  Components found;
  const std::vector<Section> sections = sections_of(tensors, what);
  std::vector<std::map<std::string, SourceTensor>> taken(sections.size());
  for (const auto& [name, view] : tensors) {
    if (const auto leftover = leftover_of(name)) {
      ++found.skipped[*leftover];
      continue;
    }
    const auto section =
        std::find_if(sections.begin(), sections.end(),
                     [&](const Section& candidate) { return name.starts_with(candidate.prefix); });
    if (section == sections.end()) {
      found.unexpected.push_back(name);
    } else if (section->component.empty()) {
      ++found.skipped["text tower beside the image tower"];
    } else {
      taken[static_cast<size_t>(section - sections.begin())].emplace(
          name.substr(section->prefix.size()), SourceTensor{&name, &view});
    }
  }
  for (size_t i = 0; i < sections.size(); ++i) {
    if (taken[i].empty()) continue;
    Renamed renamed{found.parts[std::string(sections[i].component)], found.unexpected, what};
    sections[i].rule(taken[i], renamed);
  }
  for (auto it = found.parts.begin(); it != found.parts.end();) {
    it = it->second.empty() ? found.parts.erase(it) : std::next(it);
  }
  std::sort(found.unexpected.begin(), found.unexpected.end());
  for (const auto& [component, part] : found.parts) {
    for (const std::string& name : missing_of(component, part)) {
      found.missing.push_back(component + "." + name);
    }
  }
  return found;
}

Components complete_components_of(const TensorViews& tensors, const Recognised& what,
                                  const std::string& name, const std::string& wanted) {
  Components found = components_of(tensors, what);
  std::vector<std::string> missing = found.missing;
  std::erase_if(missing, [&](const std::string& tensor) { return !tensor.starts_with(wanted); });
  if (missing.empty()) return found;
  constexpr size_t kShown = 3;
  std::string list;
  for (size_t i = 0; i < std::min(kShown, missing.size()); ++i) {
    list += (i ? ", " : "") + short_quoted(missing[i]);
  }
  throw bad_input(name, "all tensors of " + what.human_name,
                  std::to_string(missing.size()) + " missing: " + list +
                      (missing.size() > kShown ? ", ..." : ""),
                  "the file may be pruned or cut; `pangu-draw inspect` lists them");
}

void Renamed::put(const SourceTensor& source, std::string name, TensorView view, bool transpose) {
  const auto [place, fresh] = tensors.try_emplace(std::move(name), NamedTensor{});
  if (!fresh) {
    unexpected.push_back(*source.name);
    return;
  }
  place->second = {std::move(view), transpose};
}

void Renamed::put(const SourceTensor& source, std::string name) {
  put(source, std::move(name), *source.view, false);
}

void Renamed::leave(const SourceTensor& source) { unexpected.push_back(*source.name); }

void keep_names(const SourceTensors& source, Renamed& out) {
  for (const auto& [name, tensor] : source) out.put(tensor, name);
}

}  // namespace pangu::io
