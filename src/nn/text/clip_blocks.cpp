// Layers of CLIP.
#include "nn/text/clip_blocks.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/container/modulelist.h>

#include "core/error.h"
#include "nn/attention.h"

namespace pangu::nn {
Activation clip_activation_of(const std::string& name) {
  if (name == "quick_gelu") return Activation::kQuickGelu;
  if (name == "gelu") return Activation::kGelu;
  throw bad_input("CLIP config, key 'hidden_act'", "quick_gelu or gelu", name);
}

std::string name_of(Activation activation) {
  return activation == Activation::kGelu ? "gelu" : "quick_gelu";
}

ClipLayerImpl::ClipLayerImpl(const ClipLayerShape& shape) : shape_(shape) {
  const int64_t c = shape.hidden;
  const auto norm = [&] {
    return torch::nn::LayerNorm(torch::nn::LayerNormOptions({c}).eps(shape.eps));
  };
  auto attention = std::make_shared<torch::nn::Module>("CLIPAttention");
  q_ = attention->register_module("q_proj", Linear(c, c));
  k_ = attention->register_module("k_proj", Linear(c, c));
  v_ = attention->register_module("v_proj", Linear(c, c));
  out_ = attention->register_module("out_proj", Linear(c, c));
  auto perceptron = std::make_shared<torch::nn::Module>("CLIPMLP");
  fc1_ = perceptron->register_module("fc1", Linear(c, shape.inner));
  fc2_ = perceptron->register_module("fc2", Linear(shape.inner, c));
  register_module("self_attn", attention);
  norm1_ = register_module("layer_norm1", norm());
  register_module("mlp", perceptron);
  norm2_ = register_module("layer_norm2", norm());
}

at::Tensor ClipLayerImpl::forward(const at::Tensor& x, bool causal) {
  const at::Tensor rows = before_product(x, {.layer_norm = norm1_});
  AttentionOptions options;
  options.heads = shape_.heads;
  options.causal = causal;
  const at::Tensor mixed = attention(q_(rows), k_(rows), v_(rows), options);
  const at::Tensor h = out_->forward(mixed, {}, {.residual = x});
  const at::Tensor inner =
      fc1_->forward(h, {.layer_norm = norm2_}, {.activation = shape_.activation});
  return fc2_->forward(inner, {}, {.residual = h});
}

ClipEncoderImpl::ClipEncoderImpl(const ClipLayerShape& shape, int64_t layers) {
  torch::nn::ModuleList list;
  for (int64_t i = 0; i < layers; ++i) {
    layers_.emplace_back(shape);
    list->push_back(layers_.back());
  }
  register_module("layers", list);
}

at::Tensor ClipEncoderImpl::forward(at::Tensor x, bool causal, std::vector<at::Tensor>* states,
                                    const Scope& scope) {
  if (states) states->push_back(x);
  for (size_t i = 0; i < layers_.size(); ++i) {
    x = scope.in("layers", i).out(layers_[i]->forward(x, causal));
    if (states) states->push_back(x);
  }
  return x;
}

}  // namespace pangu::nn
