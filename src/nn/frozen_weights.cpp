// Looks up, checks and dequantises weights; the header describes the three stored forms.
#include "nn/frozen_weights.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "nn/parallel.h"

namespace pangu::nn {
namespace {

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? "," : "") + std::to_string(shape[i]);
  return text + "]";
}

void require(const std::string& name, const at::Tensor& tensor, const std::vector<int64_t>& shape,
             at::ScalarType dtype) {
  if (tensor.sizes() == at::IntArrayRef(shape) && tensor.scalar_type() == dtype) return;
  throw bad_input(
      "tensor '" + name + "'", std::string(c10::toString(dtype)) + " " + shape_text(shape),
      std::string(c10::toString(tensor.scalar_type())) + " " + shape_text(tensor.sizes()));
}

}  // namespace

at::Tensor dequantise_q4(const at::Tensor& codes, const at::Tensor& scales) {
  const int64_t rows = codes.size(0), columns = codes.size(1) * 2, blocks = columns / kQ4Group;
  const at::Tensor bytes = codes.contiguous();
  const at::Tensor factors = scales.to(at::kFloat).contiguous();
  at::Tensor out = at::empty({rows, columns}, at::kFloat);
  const auto* source = bytes.const_data_ptr<uint8_t>();
  const auto* factor = factors.const_data_ptr<float>();
  auto* target = out.mutable_data_ptr<float>();
  at::parallel_for(0, rows * blocks, 4096, [&](int64_t begin, int64_t end) {
    constexpr int64_t kHalf = kQ4Group / 2;
    for (int64_t block = begin; block < end; ++block) {
      const uint8_t* code = source + block * kHalf;
      float* value = target + block * kQ4Group;
      for (int64_t j = 0; j < kHalf; ++j) {
        value[j] = static_cast<float>((code[j] & 15) - 8) * factor[block];
        value[j + kHalf] = static_cast<float>((code[j] >> 4) - 8) * factor[block];
      }
    }
  });
  return out;
}

at::Tensor FrozenWeights::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? at::Tensor() : found->second;
}

at::Tensor FrozenWeights::get(const std::string& name, const std::vector<int64_t>& shape) const {
  if (const at::Tensor plain = find(name); plain.defined()) {
    if (plain.sizes() != at::IntArrayRef(shape) || !plain.is_floating_point()) {
      require(name, plain, shape, at::kFloat);
    }
    return plain.to(at::kCPU, at::kFloat).contiguous();
  }
  if (const at::Tensor codes = find(name + "_packed"); codes.defined()) {
    const at::Tensor scales = find(name + "_scale");
    if (!scales.defined()) throw bad_input("tensor '" + name + "_scale'", "F16 scales", "nothing");
    if (shape.size() != 2 || shape[1] % kQ4Group != 0) {
      throw bad_input("tensor '" + name + "'", "shape " + shape_text(shape), "4-bit blocks");
    }
    require(name + "_packed", codes, {shape[0], shape[1] / 2}, at::kByte);
    require(name + "_scale", scales, {shape[0], shape[1] / kQ4Group}, at::kHalf);
    return dequantise_q4(codes, scales);
  }
  if (const at::Tensor bytes = find(name + "_u8"); bytes.defined()) {
    const at::Tensor range = find(name + "_range");
    if (!range.defined()) throw bad_input("tensor '" + name + "_range'", "F32 [2]", "nothing");
    require(name + "_u8", bytes, shape, at::kByte);
    if (range.dim() != 2) {
      require(name + "_range", range, {2}, at::kFloat);
      const auto* limits = range.const_data_ptr<float>();
      return bytes.to(at::kFloat).mul_(limits[0]).add_(limits[1]).contiguous();
    }
    require(name + "_range", range, {shape.empty() ? 1 : shape[0], 2}, at::kFloat);
    std::vector<int64_t> each(shape.size(), 1);
    if (!each.empty()) each[0] = shape[0];
    const at::Tensor scale = range.select(1, 0).reshape(each),
                     least = range.select(1, 1).reshape(each);
    return bytes.to(at::kFloat).mul_(scale).add_(least).contiguous();
  }
  throw bad_input("tensor '" + name + "'", "shape " + shape_text(shape), "no such tensor",
                  "are these weights of another network or version?");
}

}  // namespace pangu::nn
