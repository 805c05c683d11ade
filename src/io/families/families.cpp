// Recognises families by the prefixes and parts that there are. family_signs.cpp looks at a
// network's own tensors.
#include "io/families/families.h"

#include <optional>

#include "io/families/family_signs.h"
#include "io/lora/lora_names.h"
#include "io/lora/textual_inversion.h"
#include "io/tensor_names.h"
#include "io/upscaler_names.h"
#include "io/weights_file.h"

namespace pangu::io {
namespace {

// Recognises a single file of LDM with prefixes; false if it has none of them.
bool recognise_ldm(const TensorViews& tensors, Recognised& found) {
  const auto unet = signs_of(tensors, "model.diffusion_model.");
  const auto control = signs_of(tensors, "control_model.");
  const bool vae = has_vae(tensors, "first_stage_model.");
  if (!unet && !control && !vae) return false;
  found.layout = Layout::kLdm;
  Surroundings surroundings;
  for (const char* prefix :
       {"cond_stage_model.transformer.", "conditioner.embedders.0.transformer."}) {
    if (tower_at(tensors, prefix) == TextTower::kClip) surroundings.text_encoder = TextTower::kClip;
  }
  surroundings.image_encoder = any_begins(tensors, "cond_stage_model.model.visual.") ||
                               any_begins(tensors, "cond_stage_model.transformer.vision_model.") ||
                               any_begins(tensors, "cond_stage_model.vision_model.");
  if (!surroundings.image_encoder &&
      tower_at(tensors, "cond_stage_model.model.") == TextTower::kOpenClip) {
    surroundings.text_encoder = TextTower::kOpenClip;
  }
  for (const char* prefix : {"conditioner.embedders.0.model.", "conditioner.embedders.1.model."}) {
    if (tower_at(tensors, prefix) != TextTower::kOpenClip) continue;
    surroundings.text_encoder_2 = TextTower::kOpenClip;
    surroundings.pooled = pooled_dim_of(tensors, prefix);
  }
  found.text_encoder = surroundings.text_encoder;
  found.text_encoder_2 = surroundings.text_encoder_2;
  const bool text = surroundings.text_encoder != TextTower::kNone || surroundings.image_encoder ||
                    surroundings.text_encoder_2 != TextTower::kNone;
  if (unet) found.components.emplace_back("unet");
  if (vae) found.components.emplace_back("vae");
  if (surroundings.text_encoder != TextTower::kNone) found.components.emplace_back("text_encoder");
  if (surroundings.text_encoder_2 != TextTower::kNone)
    found.components.emplace_back("text_encoder_2");
  if (surroundings.image_encoder) found.components.emplace_back("image_encoder");
  if (control) found.components.emplace_back("controlnet");
  found.part = unet      ? (vae || text ? Part::kCheckpoint : Part::kUnet)
               : control ? Part::kControlNet
                         : Part::kVae;
  if (vae) found.latent_channels = latent_channels_of(tensors, "first_stage_model.");
  const auto& network = unet ? unet : control;
  if (!network) {
    found.human_name = "autoencoder of Stable Diffusion's kind";
    return true;
  }
  decide_family(found, *network, surroundings);
  name_variant(found, name_of(found.family), variant_of(found, *network));
  return true;
}

// Recognises files that have one network without any prefix.
bool recognise_bare(const TensorViews& tensors, Recognised& found) {
  const bool control = any_begins(tensors, "controlnet_down_blocks.") ||
                       any_begins(tensors, "controlnet_cond_embedding.") ||
                       any_begins(tensors, "zero_convs.") ||
                       any_begins(tensors, "input_hint_block.");
  if (const auto network = signs_of(tensors, "")) {
    found.layout = network->ldm ? Layout::kLdm : Layout::kDiffusers;
    found.part = control ? Part::kControlNet : Part::kUnet;
    found.components = {control ? "controlnet" : "unet"};
    decide_family(found, *network, {});
    name_variant(found, name_of(found.family), variant_of(found, *network));
    return true;
  }
  if (has_vae(tensors, "")) {
    found.part = Part::kVae;
    found.components = {"vae"};
    found.layout =
        any_begins(tensors, "decoder.up_blocks.") || any_begins(tensors, "encoder.down_blocks.")
            ? Layout::kDiffusers
            : Layout::kLdm;
    found.latent_channels = latent_channels_of(tensors, "");
    found.human_name = "autoencoder of Stable Diffusion's kind";
    return true;
  }
  if (any_begins(tensors, "encoder.layers.") || any_begins(tensors, "decoder.layers.")) {
    if (any_begins(tensors, "decoder.layers.2.conv.") ||
        any_begins(tensors, "encoder.layers.1.conv.")) {
      found.part = Part::kTinyVae;
      found.layout = Layout::kDiffusers;
      found.components = {"vae"};
      found.latent_channels = side(tensors, "decoder.layers.0.weight", 1);
      found.human_name = "TAESD or TAESDXL (tiny autoencoder)";
      return true;
    }
  }
  // The original TAESD files have one half each, with layers numbered at the top level.
  if (any_begins(tensors, "3.conv.0.") &&
      (tensors.count("1.weight") ||
       (tensors.count("0.weight") && any_begins(tensors, "1.conv.")))) {
    const bool decoder = tensors.count("0.weight") == 0;
    found.part = Part::kTinyVae;
    found.layout = Layout::kLdm;
    found.components = {"vae"};
    if (decoder) found.latent_channels = side(tensors, "1.weight", 1);
    found.human_name = std::string("TAESD or TAESDXL ") + (decoder ? "decoder" : "encoder");
    return true;
  }
  return false;
}

std::string text_encoder_words(const TensorViews& tensors, TextTower tower) {
  if (tower == TextTower::kBert) return "BERT text encoder";
  const bool open = tower == TextTower::kOpenClip;
  const std::string prefix =
      tensors.count("embeddings.token_embedding.weight") ? "" : "text_model.";
  const std::string table =
      open ? "token_embedding.weight" : prefix + "embeddings.token_embedding.weight";
  const int layers =
      count_below(tensors, open ? "transformer.resblocks." : prefix + "encoder.layers.");
  return std::string(open ? "OpenCLIP" : "CLIP") + " text encoder, width " +
         std::to_string(side(tensors, table, 1)) + ", " + std::to_string(layers) + " layers";
}

bool recognise_encoder(const TensorViews& tensors, Recognised& found) {
  if (any_begins(tensors, "vision_model.")) {
    found.part = Part::kImageEncoder;
    found.layout = Layout::kDiffusers;
    found.components = {"image_encoder"};
    found.human_name = "CLIP image encoder";
    return true;
  }
  const TextTower tower = tower_at(tensors, "");
  if (tower == TextTower::kNone) return false;
  found.part = Part::kTextEncoder;
  found.layout = tower == TextTower::kOpenClip ? Layout::kLdm : Layout::kDiffusers;
  found.text_encoder = tower;
  found.pooled_dim = pooled_dim_of(tensors, "");
  found.components = {"text_encoder"};
  found.human_name = text_encoder_words(tensors, tower);
  return true;
}

bool recognise_adapter(const TensorViews& tensors, const Metadata& metadata, Recognised& found) {
  const LoraSummary lora = summarise_lora(tensors, metadata);
  if (!lora.targets.empty() || !lora.unsupported.empty()) {
    found.part = Part::kLora;
    found.family = lora.family;
    found.layout = lora.layout;
    for (const auto& [component, modules] : lora.targets) found.components.push_back(component);
    found.human_name = (lora.unsupported.empty() ? "LoRA" : lora.unsupported + " (not supported)") +
                       std::string(" for ") + lora.made_for;
    return true;
  }
  if (looks_like_textual_inversion(tensors)) {
    found.part = Part::kTextualInversion;
    const auto any = [&](std::initializer_list<const char*> names) -> const TensorView* {
      for (const char* name : names) {
        const auto item = tensors.find(name);
        if (item != tensors.end()) return &item->second;
      }
      return nullptr;
    };
    const TensorView* narrow = any({"clip_l", "text_encoders_0"});
    const TensorView* wide = any({"clip_g", "text_encoders_1"});
    const TensorView* plain = any({"emb_params", "string_to_param.*"});
    found.layout = plain || narrow || wide ? Layout::kA1111 : Layout::kDiffusers;
    const TensorView& view = wide     ? *wide
                             : narrow ? *narrow
                             : plain  ? *plain
                                      : tensors.begin()->second;
    const int64_t width = view.shape.empty() ? 0 : view.shape.back();
    found.family = !wide    ? family_of_text_width(width)
                   : narrow ? family_of_second_text_encoder()
                            : Family::kSdxlRefiner;
    found.components = {"text_encoder"};
    if (wide) found.components.emplace_back("text_encoder_2");
    found.human_name = "textual inversion for " + std::string(name_of(found.family));
    if (found.family == Family::kUnknown) {
      found.human_name = "textual inversion of width " + std::to_string(width);
    }
    return true;
  }
  return false;
}

bool recognise_upscaler(const TensorViews& tensors, Recognised& found) {
  std::vector<std::string> names;
  for (const auto& [name, view] : tensors) names.push_back(name);
  if (!is_rrdb_net(names)) return false;
  found.part = Part::kUpscaler;
  found.human_name = "ESRGAN upscaler (RRDBNet)";
  return true;
}

// Names architectures that the program lacks, so that a refusal can say what the file is.
std::string foreign_name(const TensorViews& tensors) {
  struct Sign {
    const char* part;
    const char* name;
  };
  static constexpr Sign kSigns[] = {{"double_blocks.", "FLUX or a relative of it"},
                                    {"joint_blocks.", "Stable Diffusion 3"},
                                    {"down_blocks.0.motion_modules.", "AnimateDiff motion module"},
                                    {"image_proj.", "IP-Adapter"},
                                    {"lora_controlnet", "Control-LoRA"},
                                    {"adapter.body.", "T2I-Adapter"},
                                    {"body.0.weight", "compact upscaler (SRVGGNet)"},
                                    {"body.0.", "T2I-Adapter"},
                                    {"layers.0.residual_group.", "SwinIR or HAT upscaler"},
                                    {"transformer_blocks.", "a diffusion transformer"},
                                    {"model.layers.", "a language model"}};
  for (const Sign& sign : kSigns) {
    for (const char* prefix : {"", "params.", "params_ema.", "model.diffusion_model."}) {
      if (any_begins(tensors, prefix + std::string(sign.part))) return sign.name;
    }
  }
  return "";
}

}  // namespace

Recognised recognise(const TensorViews& tensors, const Metadata& metadata) {
  Recognised found;
  found.is_difference = tensors.count("difference") > 0;
  if (recognise_ldm(tensors, found)) return found;
  // Adapters are tried first, since their names may look like the parts of a network.
  if (recognise_adapter(tensors, metadata, found)) return found;
  if (recognise_bare(tensors, found)) return found;
  if (recognise_encoder(tensors, found)) return found;
  if (recognise_upscaler(tensors, found)) return found;
  found = Recognised();
  const std::string foreign = foreign_name(tensors);
  if (!foreign.empty()) found.unsupported = foreign + " (not supported)";
  found.human_name = tensors.empty() ? "no tensors"
                                     : (foreign.empty() ? "no known family, first tensor " +
                                                              short_quoted(tensors.begin()->first)
                                                        : foreign + " (not supported)");
  return found;
}

Recognised recognise_components(const std::map<std::string, TensorViews>& components) {
  Recognised found;
  found.layout = Layout::kDiffusers;
  found.part = Part::kCheckpoint;
  Surroundings surroundings;
  std::optional<NetworkSigns> network;
  for (const auto& [name, tensors] : components) {
    const Recognised part = recognise(tensors);
    found.components.push_back(name);
    if (name == "unet") {
      network = signs_of(tensors, "");
    } else if (name == "text_encoder") {
      surroundings.text_encoder = found.text_encoder = part.text_encoder;
    } else if (name == "text_encoder_2") {
      surroundings.text_encoder_2 = found.text_encoder_2 = part.text_encoder;
      surroundings.pooled = part.pooled_dim;
    } else if (name == "image_encoder") {
      surroundings.image_encoder = true;
    } else if (name == "vae") {
      found.latent_channels = part.latent_channels;
    }
  }
  if (!network) {
    found.part = Part::kUnknown;
    found.human_name = "a folder without a known UNet";
    return found;
  }
  decide_family(found, *network, surroundings);
  name_variant(found, name_of(found.family), variant_of(found, *network));
  return found;
}

}  // namespace pangu::io
