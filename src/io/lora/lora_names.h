// Adapter files of every common naming (kohya and LyCORIS with diffusers' or LDM's block names,
// diffusers old and new, PEFT, OneTrainer) as changes of named modules of a base model: LoRA, DoRA,
// LoHa, LoKr, differences of weights, norms and biases. Not the arithmetic of merging (nn/lora.h).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "io/families/families.h"
#include "io/lora/lora_parts.h"
#include "io/weights_file.h"

namespace pangu::io {

// Module path in the naming of diffusers and transformers, without ".weight" -> its shapes.
using ModuleShapes = std::map<std::string, ModuleShape>;
// "unet", "text_encoder", "text_encoder_2" -> its modules.
using BaseModules = std::map<std::string, ModuleShapes>;

// Modules of a component: every "X.weight" with one dimension, two or four.
ModuleShapes module_shapes(const NamedTensors& tensors);
ModuleShapes module_shapes(const TensorViews& tensors);

struct LoraTensor {
  std::string key;  // in the file
  TensorView view;
};

struct LoraDelta {
  std::string component;  // of BaseModules
  std::string module;     // "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
  LoraForm form = LoraForm::kLowRank;
  std::map<LoraPart, LoraTensor> parts;
  // The change is alpha / rank times the product; of forms without a rank 1 / 1. alpha is the rank
  // where the file says nothing.
  double rank = 1, alpha = 1;
};

struct Lora {
  Family family = Family::kUnknown;  // that it was made for, by its own shapes
  std::vector<LoraDelta> deltas;     // ordered by component and module, each module once
  std::vector<std::string> misfits;  // "KEY: expected ..., found ...": modules that are left out
  std::vector<std::string> ignored;  // tensors that no delta takes, as named in the file
};

// Every delta fits the base: shapes are checked. Modules that do not fit are left out if more than
// half of the file fits. `name` is how errors call the file. Error kBadInput: no LoRA; another kind
// of adapter (IA3, OFT, ...) by its name; made for another family, naming both families and the
// first tensor that does not fit; half of the modules or fewer fit; a part without the one that
// belongs to it. A component that the base lacks (say no text encoder is given) does not fit.
Lora parse_lora(const TensorViews& tensors, const Metadata& metadata, const BaseModules& base,
                const std::string& name);

// What of the file is not applied, one sentence each, for people.
std::vector<std::string> left_out(const Lora& lora, const std::string& name);

// What can be said without a base: for `inspect`.
struct LoraSummary {
  Family family = Family::kUnknown;
  Layout layout = Layout::kUnknown;
  std::string made_for;                   // the family's name, or "context width 96"
  std::map<int64_t, size_t> ranks;        // rank -> modules
  std::map<double, size_t> alphas;        // alpha -> modules; absent ones are not in it
  std::map<std::string, size_t> targets;  // "unet", "text_encoder", ... -> modules
  std::map<std::string, size_t> forms;    // "LoRA", "DoRA", "LoHa", "differences", ... -> modules
  size_t convolutions = 0;
  std::vector<std::string> embeddings;  // words that come along
  std::vector<std::string> ignored;     // tensors that are no part of an adapter
  // Why draw would refuse it whatever the model: "OFT", ...; empty if parse_lora takes this kind.
  std::string unsupported;
};
LoraSummary summarise_lora(const TensorViews& tensors, const Metadata& metadata);

}  // namespace pangu::io
