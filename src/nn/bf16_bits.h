// The numbers of a bf16 tensor as kernels/ takes them.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pangu::nn {

// REQUIRES: a bf16 tensor on the CPU. It is read alone, or is nobody else's.
inline uint16_t* bits_of(const at::Tensor& x) {
  return reinterpret_cast<uint16_t*>(x.data_ptr<at::BFloat16>());
}

// Whether these are so many bf16 numbers as kernels read packed weights.
inline bool are_packed_numbers(const at::Tensor& numbers, int64_t count) {
  constexpr uintptr_t kAlignment = 64;
  return numbers.defined() && numbers.is_cpu() && numbers.scalar_type() == at::kBFloat16 &&
         numbers.is_contiguous() && numbers.numel() == count &&
         reinterpret_cast<uintptr_t>(numbers.const_data_ptr()) % kAlignment == 0;
}

}  // namespace pangu::nn
