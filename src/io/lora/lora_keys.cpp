// Keys of LoRA files by their endings and beginnings. Names: kohya-ss/sd-scripts, LyCORIS,
// diffusers (loaders), PEFT.
#include "io/lora/lora_keys.h"

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "core/json_reader.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

enum class Role { kDown, kUp, kMid, kAlpha };
struct Ending {
  std::string_view text;
  Role role;
  bool old_attention = false;  // "to_q_lora": the module's name goes on before it
};
constexpr std::array kEndings = {Ending{".lora_down.weight", Role::kDown},
                                 Ending{".lora_up.weight", Role::kUp},
                                 Ending{".lora_mid.weight", Role::kMid},
                                 Ending{".lora_A.weight", Role::kDown},
                                 Ending{".lora_B.weight", Role::kUp},
                                 Ending{".lora_A.default.weight", Role::kDown},
                                 Ending{".lora_B.default.weight", Role::kUp},
                                 Ending{".lora.down.weight", Role::kDown},
                                 Ending{".lora.up.weight", Role::kUp},
                                 Ending{".lora_linear_layer.down.weight", Role::kDown},
                                 Ending{".lora_linear_layer.up.weight", Role::kUp},
                                 Ending{"_lora.down.weight", Role::kDown, true},
                                 Ending{"_lora.up.weight", Role::kUp, true},
                                 Ending{".alpha", Role::kAlpha}};

// Adapters of other kinds, by a part of their keys.
constexpr std::array<std::pair<std::string_view, const char*>, 13> kOtherKinds = {
    {{".dora_scale", "DoRA"},
     {".lora_magnitude_vector", "DoRA"},
     {".hada_", "LoHa"},
     {".lokr_", "LoKr"},
     {".oft_", "OFT"},
     {".on_input", "IA3"},
     {".ia3_", "IA3"},
     {".diff_b", "full differences"},
     {".w_norm", "differences of norms"},
     {".b_norm", "differences of norms"},
     {".lora_A.bias", "LoRA with biases"},
     {".lora_B.bias", "LoRA with biases"},
     {".lora_embedding_", "LoRA of embeddings"}}};

constexpr std::array<std::string_view, 7> kForeignBlocks = {"lora_unet_double_blocks_",
                                                            "lora_unet_single_blocks_",
                                                            "lora_unet_joint_blocks_",
                                                            "lora_transformer_",
                                                            "transformer.",
                                                            "lora_te3_",
                                                            "diffusion_model.double_blocks."};

struct Beginning {
  std::string_view text, component;
  bool flattened;
};
constexpr std::array kBeginnings = {Beginning{"lora_unet_", "unet", true},
                                    Beginning{"lora_te_", "text_encoder", true},
                                    Beginning{"lora_te1_", "text_encoder", true},
                                    Beginning{"lora_te2_", "text_encoder_2", true},
                                    Beginning{"unet.", "unet", false},
                                    Beginning{"text_encoder.", "text_encoder", false},
                                    Beginning{"text_encoder_2.", "text_encoder_2", false},
                                    Beginning{"model.diffusion_model.", "unet", false},
                                    Beginning{"diffusion_model.", "unet", false},
                                    Beginning{"text_model.", "text_encoder", false},
                                    Beginning{"down_blocks.", "unet", false},
                                    Beginning{"mid_block.", "unet", false},
                                    Beginning{"up_blocks.", "unet", false}};

// Diffusers' first form had the four projections of an attention in its "processor", and called
// those of a text encoder by the UNet's names.
std::string without_processor(std::string path, bool text) {
  const std::string processor = ".processor";
  const size_t at = path.rfind(processor + ".");
  if (at != std::string::npos) path.erase(at, processor.size());
  for (const auto& [old, unet_name, text_name] :
       {std::tuple{".to_q", ".to_q", ".q_proj"}, std::tuple{".to_k", ".to_k", ".k_proj"},
        std::tuple{".to_v", ".to_v", ".v_proj"}, std::tuple{".to_out", ".to_out.0", ".out_proj"}}) {
    if (path.ends_with(old)) {
      path.replace(path.size() - std::string_view(old).size(), std::string::npos,
                   text ? text_name : unet_name);
      break;
    }
  }
  return path;
}

void place(RawDelta& delta, std::string_view module, bool old_attention) {
  for (const Beginning& beginning : kBeginnings) {
    const auto rest = behind(module, beginning.text);
    if (!rest) continue;
    delta.component = beginning.component;
    delta.flattened = beginning.flattened;
    // The last four are parts of the path themselves.
    const bool whole = beginning.text == "text_model." || beginning.text.ends_with("_blocks.") ||
                       beginning.text == "mid_block.";
    delta.path = whole ? module : *rest;
    break;
  }
  if (delta.path.empty()) delta.path = module;
  const bool text = delta.component.starts_with("text_encoder");
  const bool processor = delta.path.find(".processor.") != std::string::npos;
  if (old_attention || processor) delta.path = without_processor(delta.path, text);
}

const Ending* ending_of(std::string_view key) {
  for (const Ending& ending : kEndings) {
    if (key.size() > ending.text.size() && key.ends_with(ending.text)) return &ending;
  }
  return nullptr;
}

bool note_other_kind(const std::string& key, RawLora& lora) {
  const char* kind = key.ends_with(".diff") ? "full differences" : nullptr;
  for (const auto& [part, name] : kOtherKinds) {
    if (key.find(part) != std::string::npos) kind = name;
  }
  if (!kind) return false;
  if (lora.unsupported.empty()) {
    lora.unsupported = kind;
    lora.unsupported_key = key;
  }
  return true;
}

int64_t input_width(const RawDelta& delta) {
  return delta.down && delta.down->second.shape.size() >= 2 ? delta.down->second.shape[1] : 0;
}

bool reads_context(const std::string& path) {
  return path.ends_with("attn2.to_k") || path.ends_with("attn2_to_k") ||
         path.ends_with("attn2.to_v") || path.ends_with("attn2_to_v");
}

}  // namespace

RawLora raw_lora_of(const TensorViews& tensors) {
  RawLora lora;
  for (const auto& item : tensors) {
    const std::string& key = item.first;
    if (note_other_kind(key, lora)) continue;
    const Ending* ending = ending_of(key);
    if (!ending) {
      lora.ignored.push_back(key);
      continue;
    }
    std::string_view module(key);
    module.remove_suffix(ending->text.size());
    const bool peft = module.starts_with("base_model.model.");
    if (peft) module.remove_prefix(std::string_view("base_model.model.").size());
    for (const std::string_view blocks : kForeignBlocks) {
      if (module.starts_with(blocks) && lora.foreign.empty()) {
        lora.foreign = "a diffusion transformer (FLUX, Stable Diffusion 3, ...)";
      }
    }
    RawDelta delta;
    place(delta, module, ending->old_attention);
    if (lora.layout == Layout::kUnknown) {
      lora.layout = delta.flattened ? Layout::kKohya : peft ? Layout::kPeft : Layout::kDiffusers;
    }
    RawDelta& kept =
        lora.deltas.try_emplace(delta.component + "." + delta.path, delta).first->second;
    RawDelta::Item& slot = ending->role == Role::kDown  ? kept.down
                           : ending->role == Role::kUp  ? kept.up
                           : ending->role == Role::kMid ? kept.mid
                                                        : kept.alpha;
    if (slot) {
      lora.ignored.push_back(key);
    } else {
      slot = &item;
    }
  }
  // An alpha without a pair is someone else's tensor.
  for (auto it = lora.deltas.begin(); it != lora.deltas.end();) {
    const RawDelta& delta = it->second;
    if (delta.down || delta.up || delta.mid) {
      ++it;
      continue;
    }
    lora.ignored.push_back(delta.alpha->first);
    it = lora.deltas.erase(it);
  }
  if (lora.deltas.empty()) lora.layout = Layout::kUnknown;
  return lora;
}

int64_t context_dim_of(const RawLora& lora) {
  for (const auto& [module, delta] : lora.deltas) {
    if (reads_context(delta.path) && input_width(delta) > 0) return input_width(delta);
  }
  return 0;
}

Family family_of(const RawLora& lora) {
  if (!lora.foreign.empty()) return Family::kUnknown;
  if (const int64_t context = context_dim_of(lora)) return family_of_context(context);
  int64_t width = 0;
  for (const auto& [module, delta] : lora.deltas) {
    if (delta.component == "text_encoder_2") return Family::kSdxl;
    const bool query = delta.path.ends_with("q_proj");
    if (delta.component == "text_encoder" && query && width == 0) width = input_width(delta);
  }
  return family_of_text_width(width);
}

LoraSettings lora_settings_of(const Metadata& metadata, const std::string& name) {
  LoraSettings settings;
  const auto found = metadata.find("lora_adapter_metadata");
  if (found == metadata.end()) return settings;
  const std::string what = name + ", metadata lora_adapter_metadata";
  const nlohmann::json json = JsonReader(what, parse_json(found->second, what)).json();
  // diffusers flattens one PEFT configuration a component: "unet.lora_alpha".
  for (const auto& [key, value] : json.items()) {
    const size_t point = key.find('.');
    if (point == std::string::npos) continue;
    const std::string component = key.substr(0, point), field = key.substr(point + 1);
    if (field == "use_dora" && value.is_boolean() && value.get<bool>()) {
      throw bad_input(name, "a plain LoRA", "DoRA (" + key + ")", "DoRA is not supported");
    }
    if (field == "use_rslora" && value.is_boolean()) {
      settings.divide_by_root[component] = value.get<bool>();
    }
    if (field == "lora_alpha") {
      if (!value.is_number())
        throw bad_input(what, "a number as " + key, value.dump().substr(0, 80));
      settings.alphas[component] = value.get<double>();
    }
    if (field == "alpha_pattern" && value.is_object()) {
      for (const auto& [module, alpha] : value.items()) {
        if (alpha.is_number()) settings.alphas[component + "." + module] = alpha.get<double>();
      }
    }
  }
  return settings;
}

}  // namespace pangu::io
