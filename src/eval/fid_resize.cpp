// Each convention as matrices of weights, one an axis, but for the products' order of TensorFlow's.
#include "eval/fid_resize.h"

#include <torch/types.h>

#include "core/error.h"
#include "image/resize.h"
#include "nn/features/fid_inception.h"
#include "tensors/pictures.h"

namespace pangu::eval {
namespace {

using nn::kFidInputPx;

// TensorFlow 1's bilinear weights for new pixels: the lower neighbour and the upper one's share.
// The position is computed in f32, as there.
struct Neighbours {
  at::Tensor low, high, share;
};
Neighbours tensorflow_neighbours(int64_t old_size) {
  const auto scale = static_cast<float>(double(old_size) / double(kFidInputPx));
  const at::Tensor position = at::arange(kFidInputPx, at::kFloat) * scale;
  const at::Tensor low = position.to(at::kLong);
  return {low, (low + 1).clamp_max(old_size - 1), position - low.to(at::kFloat)};
}

at::Tensor tensorflow_resized(const at::Tensor& x) {
  const Neighbours rows = tensorflow_neighbours(x.size(2)),
                   columns = tensorflow_neighbours(x.size(3));
  const auto across = [&](const at::Tensor& index) {
    const at::Tensor row = x.index_select(2, index);
    const at::Tensor left = row.index_select(3, columns.low);
    return left + (row.index_select(3, columns.high) - left) * columns.share;
  };
  const at::Tensor top = across(rows.low);
  return top + (across(rows.high) - top) * rows.share.view({-1, 1});
}

at::Tensor bicubic_matrix(int64_t old_size) {
  return at::tensor(
             image::resampling_matrix(image::Filter::kBicubic, int(old_size), int(kFidInputPx)))
      .view({kFidInputPx, old_size});
}

at::Tensor clean_resized(const at::Tensor& x) {
  const int64_t height = x.size(2), width = x.size(3);
  at::Tensor out = x;
  if (width != kFidInputPx) out = out.matmul(bicubic_matrix(width).t());
  if (height != kFidInputPx) out = bicubic_matrix(height).matmul(out);
  return out.clamp(0, 255);  // negative lobes overshoot
}

}  // namespace

const char* name_of(FidResize resize) {
  switch (resize) {
    case FidResize::kTensorflow:
      break;
    case FidResize::kClean:
      return "clean-fid";
    case FidResize::kPytorch:
      return "pytorch-fid";
  }
  return "torch-fidelity";
}

std::string description_of(FidResize resize) {
  switch (resize) {
    case FidResize::kTensorflow:
      break;
    case FidResize::kClean:
      return "PIL's bicubic, antialiased, in floats";
    case FidResize::kPytorch:
      return "bilinear, not antialiased, as PyTorch interpolates";
  }
  return "bilinear, not antialiased, as TensorFlow 1 resizes";
}

FidResize fid_resize_of(const std::string& name, const std::string& what) {
  for (const FidResize one : {FidResize::kTensorflow, FidResize::kClean, FidResize::kPytorch}) {
    if (name == name_of(one)) return one;
  }
  throw bad_input(what, "torch-fidelity, clean-fid or pytorch-fid", "'" + name + "'");
}

at::Tensor fid_pixels(const image::Image& picture, FidResize resize) {
  const at::Tensor x = tensors::levels_of(picture)
                           .narrow(2, 0, 3)
                           .permute({2, 0, 1})
                           .unsqueeze(0)
                           .to(at::kFloat)
                           .contiguous();
  switch (resize) {
    case FidResize::kClean:
      return (clean_resized(x) - 128) / 128;
    case FidResize::kPytorch:
      return at::upsample_bilinear2d(x / 255, {kFidInputPx, kFidInputPx}, /*align_corners=*/false) *
                 2 -
             1;
    case FidResize::kTensorflow:
      break;
  }
  return (tensorflow_resized(x) - 128) / 128;
}

}  // namespace pangu::eval
