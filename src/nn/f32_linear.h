// Linear layers in f32, outside of training, by oneDNN. libtorch computes them by MKL, which uses
// vectors of 256 bits on processors of other makers than Intel, whatever these have; oneDNN uses
// those of 512 bits (bench/product.cpp prints both). Its results do not depend on the number of
// threads.
#pragma once
#include <ATen/core/Tensor.h>

namespace pangu::nn {

// Whether f32_linear is faster here than at::linear and may stand for it: the numbers are f32 on a
// CPU, nothing asks for a gradient, the rows are enough, and the processor has AVX-512 and is not
// Intel's. No if libtorch was built without oneDNN, or PANGU_KERNELS asks for less than AVX-512.
bool f32_linear_serves(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// Returns x weight^T + bias as [...,O]. x: [...,I]; weight: [O,I]; bias: [O] or undefined.
// REQUIRES: f32 numbers on a CPU and libtorch with oneDNN.
at::Tensor f32_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace pangu::nn
