// The numbers of a bf16 tensor as kernels/ takes them.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pangu::nn {

// REQUIRES: a bf16 tensor on the CPU. It is read alone, or is nobody else's.
inline uint16_t* bits_of(const at::Tensor& x) {
  return reinterpret_cast<uint16_t*>(x.data_ptr<at::BFloat16>());
}

}  // namespace pangu::nn
