// Weights of the frozen networks (text encoder, VGG16, Inception V3) by name, checked against the
// shape that the network expects and dequantised to f32. It is not for networks that are trained.
// Forms of a weight X: X itself (any float dtype); X_packed and X_scale (4-bit, below); X_u8 and
// X_range (f32 [2] = scale, minimum, or [out,2] for each row; weight = byte * scale + minimum).
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "nn/weights.h"

namespace pangu::nn {

// 4-bit blocks ("q4_0"): codes U8 [rows, columns/2], scales F16 [rows, columns/32]. Byte j of block
// b holds weight 32b+j in its low and 32b+16+j in its high nibble; weight = (nibble - 8) * scale.
inline constexpr int64_t kQ4Group = 32;

// Returns [rows, columns] f32 on the CPU. REQUIRES: CPU tensors of the dtypes and shapes above.
at::Tensor dequantise_q4(const at::Tensor& codes, const at::Tensor& scales);

// Reads weights out of a TensorMap, which must outlive it.
class FrozenWeights {
 public:
  explicit FrozenWeights(const TensorMap& tensors) : tensors_(tensors) {}

  // Returns a weight as f32, contiguous, on the CPU. Throws kBadInput naming the tensor if it is
  // missing or misshapen.
  at::Tensor get(const std::string& name, const std::vector<int64_t>& shape) const;

  // Returns the stored tensor itself, or an undefined one if it is absent.
  at::Tensor find(const std::string& name) const;

 private:
  const TensorMap& tensors_;
};

}  // namespace pangu::nn
