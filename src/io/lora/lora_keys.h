// The keys of adapter files, taken apart: which module, which role. Needs no base model. Not a
// public contract of the room (io/lora/lora_names.h is).
#pragma once
#include <map>
#include <optional>
#include <string>

#include "io/families/families.h"
#include "io/safetensors.h"

namespace pangu::io {

struct RawDelta {
  // Whole keys of the file with their tensors, where present.
  using Item = const TensorViews::value_type*;
  Item down = nullptr, up = nullptr, mid = nullptr, alpha = nullptr;
  std::string component;   // "unet", "text_encoder", "text_encoder_2"; empty: not said
  std::string path;        // module path; of kohya's with '_' for every '.'
  bool flattened = false;  // kohya's
};

struct RawLora {
  std::map<std::string, RawDelta> deltas;  // by the module's part of the key
  std::vector<std::string> ignored;        // keys that are no part of a low-rank change
  std::string unsupported;                 // "DoRA", "LoHa", ...: the first kind that was met
  std::string unsupported_key;
  std::string foreign;  // an architecture that is none of ours, by the names of its blocks
  Layout layout = Layout::kUnknown;
};

RawLora raw_lora_of(const TensorViews& tensors);

// Width of the cross-attention context that the file's own projections have; 0 if it has none.
int64_t context_dim_of(const RawLora& lora);

// The family that the file's own widths tell.
Family family_of(const RawLora& lora);

// What diffusers writes into a file's metadata, and PEFT into adapter_config.json.
struct LoraSettings {
  std::map<std::string, double> alphas;        // component, or component + "." + module -> alpha
  std::map<std::string, bool> divide_by_root;  // component -> scale is alpha / sqrt(rank)
};
// Error kBadInput naming what is not supported ("use_dora") or no number.
LoraSettings lora_settings_of(const Metadata& metadata, const std::string& name);

}  // namespace pangu::io
