#include "train/state_codes.h"

#include <torch/types.h>

namespace pangu::train {
namespace {

constexpr double kSmallestScale = 1e-30;  // as in train/block_codes.cpp

// [blocks, kCodeBlock], zeros behind the last element.
at::Tensor as_blocks(const at::Tensor& t) {
  const int64_t count = t.numel(), blocks = code_blocks(count);
  const at::Tensor in_memory = t.as_strided({count}, {1});
  return at::constant_pad_nd(in_memory, {0, blocks * kCodeBlock - count}).view({-1, kCodeBlock});
}

at::Tensor from_blocks(const at::Tensor& blocks, const at::Tensor& layout) {
  return blocks.flatten().narrow(0, 0, layout.numel()).as_strided(layout.sizes(), layout.strides());
}

}  // namespace

int64_t code_blocks(int64_t numel) { return (numel + kCodeBlock - 1) / kCodeBlock; }

void encode_(CodeKind kind, const at::Tensor& values, at::Tensor& codes, at::Tensor& scales) {
  const at::Tensor x = as_blocks(values), magnitude = x.abs();
  const at::Tensor scale = magnitude.amax(1, /*keepdim=*/true);
  const at::Tensor is_zero = scale < kSmallestScale;
  at::Tensor z = magnitude * at::where(is_zero, 0, 1 / scale);
  const bool has_sign = kind == CodeKind::kSigned;
  const int decades = has_sign ? 7 : 8;
  at::Tensor n = at::full_like(z, 1 << (decades - 1));
  for (int d = 1; d < decades; ++d) {
    const at::Tensor is_below = z < 0.1f;
    z = at::where(is_below, z * 10.0f, z);
    n = at::where(is_below, n * 0.5f, n);
  }
  const at::Tensor place = ((z - 0.1f) * (n * (1.0f / 0.9f)) + 0.5f).clamp_min(0).floor();
  at::Tensor code = (n - 1 + at::minimum(place, n)).to(at::kInt);
  if (has_sign) {
    code = code + at::logical_and(x < 0, code > 0).to(at::kInt) * 0x80;
  } else {
    code = at::where(x > 0, code.clamp_min(1), code);
  }
  code = at::where(is_zero, 0, code);
  codes.copy_(from_blocks(code, codes));
  scales.copy_(at::where(is_zero, 0.0f, scale).flatten());
}

at::Tensor decoded(CodeKind kind, const at::Tensor& codes, const at::Tensor& scales) {
  const auto& values = code_values(kind);
  const at::Tensor table = at::tensor(at::ArrayRef<float>(values.data(), values.size()));
  const at::Tensor numbers =
      table.to(codes.device()).index_select(0, as_blocks(codes).flatten().to(at::kLong));
  return from_blocks(numbers.view({-1, kCodeBlock}) * scales.unsqueeze(1), codes);
}

}  // namespace pangu::train
