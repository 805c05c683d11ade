// Layers of CLIP. Attention runs in ATen's fused kernel.
#include "nn/text/clip_blocks.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/container/modulelist.h>

#include "core/error.h"

namespace pangu::nn {
namespace {

constexpr double kQuickGeluSlope = 1.702;  // Hendrycks and Gimpel 2016, section 2

at::Tensor activate(const at::Tensor& x, ClipActivation activation) {
  if (activation == ClipActivation::kGelu) return at::gelu(x);
  return x * at::sigmoid(x * kQuickGeluSlope);
}

}  // namespace

ClipActivation clip_activation_of(const std::string& name) {
  if (name == "quick_gelu") return ClipActivation::kQuickGelu;
  if (name == "gelu") return ClipActivation::kGelu;
  throw bad_input("CLIP config, key 'hidden_act'", "quick_gelu or gelu", name);
}

std::string name_of(ClipActivation activation) {
  return activation == ClipActivation::kGelu ? "gelu" : "quick_gelu";
}

ClipLayerImpl::ClipLayerImpl(const ClipLayerShape& shape) : shape_(shape) {
  const int64_t c = shape.hidden;
  const auto norm = [&] {
    return torch::nn::LayerNorm(torch::nn::LayerNormOptions({c}).eps(shape.eps));
  };
  auto attention = std::make_shared<torch::nn::Module>("CLIPAttention");
  q_ = attention->register_module("q_proj", torch::nn::Linear(c, c));
  k_ = attention->register_module("k_proj", torch::nn::Linear(c, c));
  v_ = attention->register_module("v_proj", torch::nn::Linear(c, c));
  out_ = attention->register_module("out_proj", torch::nn::Linear(c, c));
  auto perceptron = std::make_shared<torch::nn::Module>("CLIPMLP");
  fc1_ = perceptron->register_module("fc1", torch::nn::Linear(c, shape.inner));
  fc2_ = perceptron->register_module("fc2", torch::nn::Linear(shape.inner, c));
  register_module("self_attn", attention);
  norm1_ = register_module("layer_norm1", norm());
  register_module("mlp", perceptron);
  norm2_ = register_module("layer_norm2", norm());
}

at::Tensor ClipLayerImpl::attend(const at::Tensor& x, bool causal) {
  const auto split = [&](const at::Tensor& rows) {  // [B,L,C] -> [B,heads,L,C/heads]
    return rows.unflatten(-1, {shape_.heads, -1}).transpose(1, 2);
  };
  const at::Tensor mixed = at::scaled_dot_product_attention(
      split(q_(x)), split(k_(x)), split(v_(x)), /*attn_mask=*/{}, /*dropout_p=*/0.0, causal);
  return out_(mixed.transpose(1, 2).flatten(2));
}

at::Tensor ClipLayerImpl::forward(const at::Tensor& x, bool causal) {
  const at::Tensor h = x + attend(norm1_(x), causal);
  return h + fc2_(activate(fc1_(norm2_(h)), shape_.activation));
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
