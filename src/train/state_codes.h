// The codes of train/block_codes.h in tensors, by libtorch's operators on any device. On the CPU
// the loops there are several times faster; both give the same bits.
#pragma once
#include <ATen/core/Tensor.h>

#include "train/block_codes.h"

namespace pangu::train {

// Blocks of a dense tensor in the order of its memory.
int64_t code_blocks(int64_t numel);

// values: dense, f32. codes: u8 of the same strides. scales: [code_blocks] f32. The last two are
// overwritten.
void encode_(CodeKind kind, const at::Tensor& values, at::Tensor& codes, at::Tensor& scales);
// Returns f32 of the strides of codes.
at::Tensor decoded(CodeKind kind, const at::Tensor& codes, const at::Tensor& scales);

}  // namespace pangu::train
