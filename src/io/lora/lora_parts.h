// The forms in which adapters hold a change of one module, and the shapes that the parts of each
// form must have. The arithmetic is in nn/lora.h, the names of files are in io/lora/lora_names.h.
// Forms: LoRA (Hu et al. 2021), LoHa and LoKr (Yeh et al. 2023, "LyCORIS"), DoRA (Liu et al. 2024).
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pangu::io {

// How the change of a weight W [out,in,..] is written; `rank` is r below.
enum class LoraForm {
  kDifference,  // the change itself, or only one of the bias
  kLowRank,     // up @ down; with mid the Tucker form up x mid x down
  kHadamard,    // LoHa: (w1_a @ w1_b) * (w2_a @ w2_b), elementwise
  kKronecker,   // LoKr: w1 (x) w2, each whole or as a product
};

enum class LoraPart {
  kDown,         // [r,in,..]; beside kMid [r,in]
  kUp,           // [out,r]
  kMid,          // [r,r,kh,kw]
  kW1,           // LoKr: [a,b], with a * c = out and b * d = in
  kW1A,          // LoHa: [out,r], beside kT1 [r,out]; LoKr: [a,r]
  kW1B,          // LoHa: [r,in * kh * kw], beside kT1 [r,in]; LoKr: [r,b]
  kW2,           // LoKr: [c,d,..]
  kW2A,          // LoHa: as kW1A, beside kT2; LoKr: [c,r], beside kT2 [r,c]
  kW2B,          // LoHa: as kW1B, beside kT2; LoKr: [r,d * kh * kw], beside kT2 [r,d]
  kT1,           // [r,r,kh,kw]
  kT2,           // [r,r,kh,kw]
  kDifference,   // as the weight
  kBias,         // added to the bias: [out]
  kScaledBias,   // added to the bias times the scale of the product: [out]
  kOutputNorms,  // DoRA: the norms of the changed weight's rows, out numbers
  kInputNorms,   // DoRA: the norms of its columns, in numbers
};
// As files call it: "lora_down", "lokr_w2_b", ...; for messages.
const char* name_of(LoraPart part);

using LoraShapes = std::map<LoraPart, std::vector<int64_t>>;

struct ModuleShape {
  std::vector<int64_t> weight;
  std::vector<int64_t> bias = {};  // empty: the module has none
};

struct LoraMisfit {
  LoraPart part;  // the one that does not fit; of a part that is missing, one beside it
  std::string expected, found;
};
// Nothing if the parts make a change of the module. A 1x1 convolution and a matrix fit each other.
std::optional<LoraMisfit> lora_misfit(LoraForm form, const LoraShapes& parts,
                                      const ModuleShape& module);

// The rank by which alpha is divided; nothing where the form has none (then the scale is 1).
std::optional<int64_t> lora_rank(LoraForm form, const LoraShapes& parts);

}  // namespace pangu::io
