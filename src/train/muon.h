// The matrix part of Muon (Jordan et al. 2024): the semi-orthogonal matrix nearest to a momentum by
// Newton-Schulz iterations, and the factor of Liu et al. 2025 (Muon is Scalable for LLM Training)
// that gives the update the root mean square of AdamW's, so that AdamW's learning rate and weight
// decay carry over. No state is kept here; train/optimizer.h keeps it.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

namespace pangu::train {

// Whether a parameter maps one inner state of a network to another: a matrix, or a convolution
// taken as [out, in*kh*kw]. Norms, biases, first and last convolutions (conv_in, conv_out) and
// everything with "embedding" in its name, the time embedding's layers included, do not; AdamW
// steps those.
bool is_inner_matrix(const std::string& name, const at::Tensor& param);

// The type for the products of the iterations: bf16 if `param` is bf16 and the machine multiplies
// bf16 faster than f32, else f32.
at::ScalarType muon_dtype(const at::Tensor& param);

// matrix: [m,n] f32. Five iterations of degree 5, with products in `dtype`: singular values from
// 1 % of the Frobenius norm up come to lie in about [0.7, 1.2]. Returns [m,n] f32; zeros for zeros.
at::Tensor orthogonalised(const at::Tensor& matrix, at::ScalarType dtype);

// The operations of orthogonalised() for a parameter of this shape: those of its products. In f32,
// oblong matrices take fewer.
double orthogonalising_flop(at::IntArrayRef shape, at::ScalarType dtype);

// The factor of an update of these sizes, 0.2 sqrt(max(rows, columns)).
double muon_scale(int64_t rows, int64_t columns);

}  // namespace pangu::train
