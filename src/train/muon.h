// The matrix part of Muon (Jordan et al. 2024): the nearest semi-orthogonal matrix of a momentum by
// Newton-Schulz iterations, and the factor of Liu et al. 2025 (Muon is Scalable for LLM Training)
// that gives the update the root mean square of AdamW's, so that its learning rate and weight decay
// carry over. Keeps no state; train/optimizer.h does.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

namespace pangu::train {

// Whether a parameter maps one inner state to another: matrices, and convolutions as [out,
// in*kh*kw]. Norms, biases, embeddings and a network's first and last convolution do not; AdamW
// steps those.
bool is_inner_matrix(const std::string& name, const at::Tensor& param);

// The type of the iterations' products: bf16 where `param` is bf16 and the machine multiplies it
// faster than f32, else f32.
at::ScalarType muon_dtype(const at::Tensor& param);

// matrix: [m,n] f32. Five iterations of degree 5, with products in `dtype`: singular values from
// 1 % of the Frobenius norm up come to lie in about [0.7, 1.2]. Returns [m,n] f32; zeros for zeros.
at::Tensor orthogonalised(const at::Tensor& matrix, at::ScalarType dtype);

// 0.2 sqrt(max(m, n))
double muon_scale(int64_t rows, int64_t columns);

}  // namespace pangu::train
