// Products with a weight matrix: the only ones of our networks. Kernels of our own, and packed or
// quantised weights, belong here.
#pragma once
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "nn/epilogue.h"

namespace pangu::nn {

// epilogue(prologue(x) weight^T + bias). x: [...,I]; weight: [O,I]; bias: [O] or undefined. Returns
// [...,O]. Differentiable in everything.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  const Prologue& prologue = {}, const Epilogue& epilogue = {});

// The definition, in plain ATen operators: what kernels are compared with.
at::Tensor plain_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        const Prologue& prologue = {}, const Epilogue& epilogue = {});

// Holds "weight" and, unless it has none, "bias".
class LinearImpl : public torch::nn::Module {
 public:
  // Fresh weights as of torch's Linear, from torch's global generator.
  LinearImpl(int64_t in, int64_t out, bool has_bias = true);
  at::Tensor forward(const at::Tensor& x, const Prologue& prologue = {},
                     const Epilogue& epilogue = {}) const {
    return linear(x, weight, bias, prologue, epilogue);
  }

  at::Tensor weight;  // [O,I]
  at::Tensor bias;    // [O] or undefined
};
TORCH_MODULE(Linear);

// Gives weight, and bias if it is defined, torch's default values: uniform within 1 / sqrt(inputs
// an output). For modules that hold the weights of a product.
void init_product_weights(at::Tensor& weight, at::Tensor& bias);

}  // namespace pangu::nn
