// Keys of LoRA files by their endings and beginnings. Names: kohya-ss/sd-scripts, LyCORIS,
// diffusers (loaders), PEFT.
#include "io/lora/lora_keys.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "io/lora/textual_inversion.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

enum class EndingKind { kPart, kNorms, kAlpha };
struct Ending {
  std::string_view text;
  LoraPart part = LoraPart::kDown;
  LoraForm form = LoraForm::kLowRank;  // kDifference: it may stand beside any other
  bool old_attention = false;          // "to_q_lora": the module's name goes on before it
  EndingKind kind = EndingKind::kPart;
};

constexpr LoraForm kHada = LoraForm::kHadamard, kKron = LoraForm::kKronecker,
                   kDiff = LoraForm::kDifference;
constexpr std::array kEndings = {
    Ending{".lora_down.weight", LoraPart::kDown}, Ending{".lora_up.weight", LoraPart::kUp},
    Ending{".lora_mid.weight", LoraPart::kMid}, Ending{".lora_A.weight", LoraPart::kDown},
    Ending{".lora_B.weight", LoraPart::kUp}, Ending{".lora_A.default.weight", LoraPart::kDown},
    Ending{".lora_B.default.weight", LoraPart::kUp}, Ending{".lora.down.weight", LoraPart::kDown},
    Ending{".lora.up.weight", LoraPart::kUp},
    Ending{".lora_linear_layer.down.weight", LoraPart::kDown},
    Ending{".lora_linear_layer.up.weight", LoraPart::kUp},
    Ending{"_lora.down.weight", LoraPart::kDown, LoraForm::kLowRank, true},
    Ending{"_lora.up.weight", LoraPart::kUp, LoraForm::kLowRank, true},
    Ending{".hada_w1_a", LoraPart::kW1A, kHada}, Ending{".hada_w1_b", LoraPart::kW1B, kHada},
    Ending{".hada_w2_a", LoraPart::kW2A, kHada}, Ending{".hada_w2_b", LoraPart::kW2B, kHada},
    Ending{".hada_t1", LoraPart::kT1, kHada}, Ending{".hada_t2", LoraPart::kT2, kHada},
    Ending{".lokr_w1", LoraPart::kW1, kKron}, Ending{".lokr_w1_a", LoraPart::kW1A, kKron},
    Ending{".lokr_w1_b", LoraPart::kW1B, kKron}, Ending{".lokr_w2", LoraPart::kW2, kKron},
    Ending{".lokr_w2_a", LoraPart::kW2A, kKron}, Ending{".lokr_w2_b", LoraPart::kW2B, kKron},
    Ending{".lokr_t2", LoraPart::kT2, kKron}, Ending{".diff", LoraPart::kDifference, kDiff},
    Ending{".w_norm", LoraPart::kDifference, kDiff}, Ending{".diff_b", LoraPart::kBias, kDiff},
    Ending{".b_norm", LoraPart::kBias, kDiff}, Ending{".lora_B.bias", LoraPart::kScaledBias, kDiff},
    Ending{".lora_B.default.bias", LoraPart::kScaledBias, kDiff},
    // PEFT has a norm for every output; LyCORIS' shape says which side it is of.
    Ending{".lora_magnitude_vector", LoraPart::kOutputNorms, kDiff},
    Ending{".lora_magnitude_vector.weight", LoraPart::kOutputNorms, kDiff},
    Ending{".lora_magnitude_vector.default.weight", LoraPart::kOutputNorms, kDiff},
    Ending{".dora_scale", LoraPart::kOutputNorms, kDiff, false, EndingKind::kNorms},
    Ending{".alpha", LoraPart::kDown, kDiff, false, EndingKind::kAlpha}};

// Adapters of other kinds, by a part of their keys.
constexpr std::array<std::pair<std::string_view, const char*>, 11> kOtherKinds = {
    {{".oft_", "OFT"},
     {".boft_", "BOFT"},
     {".on_input", "IA3"},
     {".ia3_", "IA3"},
     {".vera_lambda", "VeRA"},
     {".lora_E", "AdaLoRA"},
     {".a1.weight", "GLoRA"},
     {".b1.weight", "GLoRA"},
     {".set_weight", "replaced weights"},
     {".lora_A.bias", "LoRA with biases of its first factor"},
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
constexpr std::array kBeginnings = {
    Beginning{"lora_unet_", "unet", true},
    Beginning{"lycoris_", "unet", true},
    Beginning{"lora_te_", "text_encoder", true},
    Beginning{"lora_te1_", "text_encoder", true},
    Beginning{"lora_te2_", "text_encoder_2", true},
    Beginning{"unet.", "unet", false},
    Beginning{"text_encoder.", "text_encoder", false},
    Beginning{"text_encoder_2.", "text_encoder_2", false},
    Beginning{"text_encoders.clip_l.transformer.", "text_encoder", false},
    Beginning{"text_encoders.clip_g.transformer.", "text_encoder_2", false},
    Beginning{"clip_l.", "text_encoder", false},
    Beginning{"clip_g.", "text_encoder_2", false},
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
  const char* kind = nullptr;
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

constexpr int64_t kMostColumns = 1 << 24;  // of a hostile file's factor

// Width of a module's input; 0 if it cannot be told from these parts alone.
int64_t input_width(const RawDelta& delta) {
  const auto columns = [&](LoraPart part) -> int64_t {
    const auto found = delta.parts.find(part);
    if (found == delta.parts.end()) return 0;
    const auto& shape = found->second->second.shape;
    return shape.size() >= 2 ? shape[1] : 0;
  };
  switch (delta.form) {
    case LoraForm::kLowRank:
      return columns(LoraPart::kDown);
    case LoraForm::kHadamard:
      return columns(LoraPart::kW1B);
    case LoraForm::kKronecker: {
      const int64_t one = std::max(columns(LoraPart::kW1), columns(LoraPart::kW1B)),
                    two = std::max(columns(LoraPart::kW2), columns(LoraPart::kW2B));
      return std::max(one, two) <= kMostColumns ? one * two : 0;
    }
    case LoraForm::kDifference:
      break;
  }
  return columns(LoraPart::kDifference);
}

bool reads_context(const std::string& path) {
  return path.ends_with("attn2.to_k") || path.ends_with("attn2_to_k") ||
         path.ends_with("attn2.to_v") || path.ends_with("attn2_to_v");
}

// False if the module has such a part already.
bool take(RawDelta& delta, const Ending& ending, const TensorViews::value_type& item) {
  if (ending.kind == EndingKind::kAlpha) {
    if (delta.alpha) return false;
    delta.alpha = &item;
    return true;
  }
  LoraPart part = ending.part;
  const auto& shape = item.second.shape;
  if (ending.kind == EndingKind::kNorms && shape.size() >= 2 && shape[0] == 1) {
    part = LoraPart::kInputNorms;
  }
  const LoraForm form = ending.form;
  const bool is_change = form != kDiff || part == LoraPart::kDifference;
  if (is_change && delta.has_form && delta.form != form) delta.mixes_forms = true;
  if (is_change) {
    delta.form = form;
    delta.has_form = true;
  }
  return delta.parts.emplace(part, &item).second;
}

}  // namespace

LoraShapes RawDelta::shapes() const {
  LoraShapes all;
  for (const auto& [part, item] : parts) all[part] = item->second.shape;
  return all;
}

RawLora raw_lora_of(const TensorViews& tensors) {
  RawLora lora;
  for (const auto& item : tensors) {
    const std::string& key = item.first;
    if (is_bundled_embedding(key) || note_other_kind(key, lora)) continue;
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
    if (!take(kept, *ending, item)) lora.ignored.push_back(key);
  }
  // An alpha without a change is someone else's tensor.
  for (auto it = lora.deltas.begin(); it != lora.deltas.end();) {
    const RawDelta& delta = it->second;
    if (!delta.parts.empty()) {
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
    if (delta.component == "text_encoder_2") return family_of_second_text_encoder();
    const bool query = delta.path.ends_with("q_proj");
    if (delta.component == "text_encoder" && query && width == 0) width = input_width(delta);
  }
  return family_of_text_width(width);
}

}  // namespace pangu::io
