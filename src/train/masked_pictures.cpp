#include "train/masked_pictures.h"

#include <torch/types.h>

#include <algorithm>

#include "image/random_mask.h"

namespace pangu::train {
namespace {

// [H,W] u8, 1 is drawn anew.
at::Tensor levels_of_mask(const image::Mask& mask) {
  at::Tensor levels = at::empty({mask.height, mask.width}, at::kByte);
  std::copy(mask.pixels.begin(), mask.pixels.end(), levels.data_ptr<uint8_t>());
  return levels;
}

}  // namespace

bool has_masks(const LatentSet& set) { return !set.grey.empty(); }

MaskedPicture masked_picture(const LatentSet& set, const LatentItem& item, double whole_probability,
                             Rng& rng_) {
  const int64_t h = item.latent.size(1), w = item.latent.size(2), f = set.downscale;
  if (rng_.uniform() < whole_probability) return {at::ones({1, h, w}), {}};
  const at::Tensor mask = item.own_mask
                              ? item.own_mask()
                              : levels_of_mask(image::random_mask(static_cast<int>(w * f),
                                                                  static_cast<int>(h * f), rng_));
  const at::Tensor corners = mask.slice(0, 0, h * f, f).slice(1, 0, w * f, f);
  return {corners.to(at::kFloat).unsqueeze(0), item.pixels() * (1 - mask.to(at::kFloat))};
}

at::Tensor mask_channels(const LatentSet& set, const std::vector<MaskedPicture>& samples) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> rows;
  for (const MaskedPicture& one : samples) {
    const at::Tensor latent = one.pixels.defined()
                                  ? set.encode(one.pixels)[0]
                                  : set.grey.at({one.mask.size(1), one.mask.size(2)}).load();
    rows.push_back(at::cat({one.mask, latent.to(at::kFloat)}));
  }
  return at::stack(rows);
}

}  // namespace pangu::train
