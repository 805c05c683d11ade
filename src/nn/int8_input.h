// The inputs of products in int8 (kernels/int8_product.h): rounded row by row together with the
// norm and the activation before the product.
#pragma once
#include <ATen/core/Tensor.h>

#include "nn/epilogue.h"

namespace pangu::nn {

struct Int8Input {
  at::Tensor codes;    // u8, of the input's sizes and layout
  at::Tensor factors;  // f32, one a row
};

// Rounds prologue(x). x: [...,C], a row being C numbers, or with ChannelsLast [B,C,H,W], a row
// being a pixel. REQUIRES: a CPU, and no prologue that doubles.
Int8Input int8_input(const at::Tensor& x, const Prologue& prologue, at::MemoryFormat format);

}  // namespace pangu::nn
