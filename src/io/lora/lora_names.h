// LoRA files of every common naming (kohya with diffusers' or LDM's block names, diffusers old and
// new, PEFT) as low-rank changes of named modules of a base model. Not the arithmetic of merging.
// W' = W + weight * (alpha / rank) * up @ down; Hu et al. 2021, convolutions as in LyCORIS's LoCon.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/families/families.h"
#include "io/weights_file.h"

namespace pangu::io {

// Module path in the naming of diffusers and transformers, without ".weight" -> shape of its
// weight.
using ModuleShapes = std::map<std::string, std::vector<int64_t>>;
// "unet", "text_encoder", "text_encoder_2" -> its modules.
using BaseModules = std::map<std::string, ModuleShapes>;

// Modules of a component: every "X.weight" with two dimensions or four.
ModuleShapes module_shapes(const NamedTensors& tensors);
ModuleShapes module_shapes(const TensorViews& tensors);

struct LoraDelta {
  std::string component;          // of BaseModules
  std::string module;             // "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
  TensorView down;                // [rank,in] or [rank,in,kh,kw]
  TensorView up;                  // [out,rank] or [out,rank,1,1]
  std::optional<TensorView> mid;  // [rank,rank,kh,kw]; down is then [rank,in,1,1] (Tucker form)
  int64_t rank = 0;
  double alpha = 0;  // rank where the file says nothing: then the scale is 1
};

struct Lora {
  Family family = Family::kUnknown;  // that it was made for, by its own shapes
  std::vector<LoraDelta> deltas;     // ordered by component and module, each module once
  std::vector<std::string> ignored;  // tensors that no delta takes, as named in the file
};

// Every delta fits the base: shapes are checked. `name` is how errors call the file. Error
// kBadInput: no LoRA; another kind of adapter (DoRA, LoHa, LoKr, IA3, OFT, full differences) by its
// name; made for another family, naming both families and the first tensor that does not fit; down
// without up. A component that the base lacks (say no text encoder is given) is an error too.
Lora parse_lora(const TensorViews& tensors, const Metadata& metadata, const BaseModules& base,
                const std::string& name);

// What can be said without a base: for `inspect`.
struct LoraSummary {
  Family family = Family::kUnknown;
  Layout layout = Layout::kUnknown;
  std::string made_for;                   // the family's name, or "context width 96"
  std::map<int64_t, size_t> ranks;        // rank -> modules
  std::map<double, size_t> alphas;        // alpha -> modules; absent ones are not in it
  std::map<std::string, size_t> targets;  // "unet", "text_encoder", ... -> modules
  size_t convolutions = 0;
  std::string unsupported;  // "DoRA", ...; empty if parse_lora takes this kind
};
LoraSummary summarise_lora(const TensorViews& tensors, const Metadata& metadata);

}  // namespace pangu::io
