#include "tensors/pictures.h"

#include <torch/types.h>

#include <cstring>

#include "image/resize.h"

namespace pangu::tensors {
namespace {

constexpr double kHighestLevel = 255.0;

}  // namespace

at::Tensor levels_of(const image::Image& picture) {
  at::Tensor bytes = at::empty({picture.height, picture.width, picture.channels}, at::kByte);
  std::memcpy(bytes.mutable_data_ptr(), picture.pixels.data(), picture.pixels.size());
  return bytes;
}

at::Tensor pixels_of(const image::Image& picture, double low, double high) {
  const at::Tensor bytes = levels_of(image::composite_over(picture));
  return (bytes.to(at::kFloat).permute({2, 0, 1}).unsqueeze(0) * ((high - low) / kHighestLevel) +
          low)
      .contiguous();
}

image::Image picture_of(const at::Tensor& chw, Levels levels) {
  const at::Tensor scaled = (chw.to(at::kFloat).clamp(-1, 1) + 1) * (kHighestLevel / 2);
  const at::Tensor whole = levels == Levels::kCut ? scaled.floor() : scaled.round();
  const at::Tensor bytes = whole.to(at::kByte).permute({1, 2, 0}).cpu().contiguous();
  image::Image picture{static_cast<int>(chw.size(2)), static_cast<int>(chw.size(1)), 3, {}};
  const auto* data = bytes.const_data_ptr<uint8_t>();
  picture.pixels.assign(data, data + bytes.numel());
  return picture;
}

}  // namespace pangu::tensors
