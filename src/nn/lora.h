// Changes of a network's weights out of adapter files: LoRA (Hu et al. 2021; convolutions and the
// Tucker form as in LyCORIS's LoCon), LoHa and LoKr (Yeh et al. 2023), DoRA (Liu et al. 2024) and
// plain differences. Files are not read here: names and shapes come from io/lora/.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "core/watch.h"
#include "io/lora/lora_parts.h"

namespace torch::nn {
class Module;
}

namespace pangu::nn {

using io::LoraForm;
using io::LoraPart;

// The change of one module, with tensors of any floating type and on any device.
struct LoraWeights {
  std::string module_path;  // "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
  LoraForm form = LoraForm::kLowRank;
  std::map<LoraPart, at::Tensor> parts;
  double alpha = 0, rank = 1;  // the product is multiplied by alpha / rank
  double weight = 1;           // factor of the change
};

// The weights that a merge replaced, by name. It takes as much memory as they do; keep it only to
// undo the merge.
using BaseWeights = std::map<std::string, at::Tensor>;

// The weight W of every module becomes W + scale * sum of the changes' weight * dW, with
//   dW = alpha / rank * the product of the form (io::LoraForm), or the difference itself;
//   dW = m * (W + that) / norm(W + that) - W where there are norms m (DoRA), one a row or a column.
// Every dW is computed from the W before the call, whatever other changes there are. Biases get
// their differences. The sum is taken in f32 and rounded once to the weight's type, however many
// changes a module gets in this call. Weights are replaced and never written, so that mapped files
// stay intact. Returns the replaced weights. Throws kBadInput naming module and shapes when a
// change does not fit, and naming the module when the sum is not finite; throws Stopped between two
// weights. The network is unchanged after either.
BaseWeights merge_lora(torch::nn::Module& network, const std::vector<LoraWeights>& changes,
                       double scale, const Watch& watch = {});

// Puts the replaced weights back, bit for bit. Subtracting the change again would not restore them:
// in bf16 a sum rounds away up to 8 bits of the weight. Throws kBadInput when the network has no
// such weight.
void unmerge_lora(torch::nn::Module& network, const BaseWeights& base);

}  // namespace pangu::nn
