// The keys of adapter files, taken apart: which module, which role. Needs no base model. Not a
// public contract of the room (io/lora/lora_names.h is).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "io/families/families.h"
#include "io/lora/lora_parts.h"
#include "io/safetensors.h"

namespace pangu::io {

struct RawDelta {
  // Whole keys of the file with their tensors.
  using Item = const TensorViews::value_type*;
  std::map<LoraPart, Item> parts;
  Item alpha = nullptr;
  LoraForm form = LoraForm::kDifference;
  bool has_form = false;     // a part of the change of the weight was met
  bool mixes_forms = false;  // parts of two forms, say a LoRA and a LoHa
  std::string component;     // "unet", "text_encoder", "text_encoder_2"; empty: not said
  std::string path;          // module path; of kohya's with '_' for every '.'
  bool flattened = false;    // kohya's

  LoraShapes shapes() const;
};

struct RawLora {
  std::map<std::string, RawDelta> deltas;  // by the module's part of the key
  std::vector<std::string> ignored;        // keys that are no part of an adapter
  std::string unsupported;                 // "OFT", "IA3", ...: the first kind that was met
  std::string unsupported_key;
  std::string foreign;  // an architecture that is none of ours, by the names of its blocks
  Layout layout = Layout::kUnknown;
};

// Embeddings that come along in the file (io/lora/textual_inversion.h) are in none of the lists.
RawLora raw_lora_of(const TensorViews& tensors);

// Width of the cross-attention context that the file's own projections have; 0 if it has none.
int64_t context_dim_of(const RawLora& lora);

// The family that the file's own widths tell.
Family family_of(const RawLora& lora);

}  // namespace pangu::io
