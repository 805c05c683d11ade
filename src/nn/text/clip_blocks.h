// The transformer that both halves of CLIP share: pre-LN layers of self-attention and a
// two-layer perceptron (Radford et al. 2021). Tensor names are those of transformers' CLIPEncoder.
// It knows neither tokens nor pixels. Legend: B batch, L tokens, C hidden size.
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/normalization.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "nn/linear.h"
#include "nn/unet/unet_scope.h"

namespace pangu::nn {

// The activation of transformers' hidden_act, "quick_gelu" or "gelu". Throws kBadInput for others.
Activation clip_activation_of(const std::string& name);
std::string name_of(Activation activation);

struct ClipLayerShape {
  int64_t hidden = 0;
  int64_t inner = 0;
  int64_t heads = 1;
  double eps = 1e-5;
  Activation activation = Activation::kQuickGelu;
};

// x += out_proj(attention(layer_norm1 x)); x += fc2(act(fc1(layer_norm2 x)))
class ClipLayerImpl : public torch::nn::Module {
 public:
  explicit ClipLayerImpl(const ClipLayerShape& shape);
  // x: [B,L,C]. Causal means that a token attends to itself and those before it.
  at::Tensor forward(const at::Tensor& x, bool causal);

 private:
  ClipLayerShape shape_;
  torch::nn::LayerNorm norm1_{nullptr}, norm2_{nullptr};
  Linear q_{nullptr}, k_{nullptr}, v_{nullptr}, out_{nullptr};
  Linear fc1_{nullptr}, fc2_{nullptr};
};
TORCH_MODULE(ClipLayer);

class ClipEncoderImpl : public torch::nn::Module {
 public:
  ClipEncoderImpl(const ClipLayerShape& shape, int64_t layers);
  // Returns the last layer's output; appends x and every layer's output to `states` unless it is
  // null.
  at::Tensor forward(at::Tensor x, bool causal, std::vector<at::Tensor>* states,
                     const Scope& scope);

 private:
  std::vector<ClipLayer> layers_;
};
TORCH_MODULE(ClipEncoder);

}  // namespace pangu::nn
