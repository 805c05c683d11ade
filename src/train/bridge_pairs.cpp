#include "train/bridge_pairs.h"

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "image/resize.h"
#include "tensors/pictures.h"

namespace pangu::train {
namespace {

constexpr uint64_t kPairStream = 1ull << 56;
constexpr int64_t kLeastCells = 4;  // a side of latents
constexpr double kSmallScale = 0.75;
constexpr std::array<double, 5> kAspects = {1.0, 3.0 / 2, 2.0 / 3, 4.0 / 3, 3.0 / 4};
constexpr double kPlainShare = 0.4;                   // of batches at the first shape
constexpr double kWholeShare = 0.3;                   // of views: as much as the aspect allows
constexpr double kLeastViewShare = 0.4;               // side of a crop by the picture's
constexpr double kBackgroundShare = 0.3;              // cut-outs on a colour instead of white
constexpr double kLeastBlur = 1.5, kMostBlur = 16.0;  // pixels of detail that are lost

image::Color drawn_background(Rng& rng) {
  if (rng.uniform() >= kBackgroundShare) return {};
  const auto part = [&] { return static_cast<uint8_t>(rng.below(256)); };
  return {part(), part(), part()};
}

// Detail below `factor` pixels lost.
at::Tensor low_passed(const at::Tensor& pixels, double factor) {
  const int64_t h = pixels.size(1), w = pixels.size(2);
  const auto small = [&](int64_t side) { return std::max<int64_t>(1, std::lround(side / factor)); };
  const at::Tensor coarse = at::adaptive_avg_pool2d(pixels.unsqueeze(0), {small(h), small(w)});
  return at::upsample_bicubic2d(coarse, {h, w}, /*align_corners=*/false).squeeze(0).clamp(-1, 1);
}

}  // namespace

int bridge_size_px(double side_px, int downscale) {
  return static_cast<int>(std::max<int64_t>(kLeastCells, std::lround(side_px / downscale))) *
         downscale;
}

std::vector<BridgeShape> bridge_shapes(const BridgeSide& a, const BridgeSide& b) {
  std::vector<BridgeShape> shapes;
  const auto add = [&](double a_side, double b_side, double aspect) {
    const double wide = std::sqrt(aspect);
    const BridgeShape shape{
        bridge_size_px(a_side * wide, a.downscale), bridge_size_px(a_side / wide, a.downscale),
        bridge_size_px(b_side * wide, b.downscale), bridge_size_px(b_side / wide, b.downscale)};
    const auto same = [&](const BridgeShape& s) {
      return s.a_width == shape.a_width && s.a_height == shape.a_height &&
             s.b_width == shape.b_width && s.b_height == shape.b_height;
    };
    if (std::none_of(shapes.begin(), shapes.end(), same)) shapes.push_back(shape);
  };
  for (const double scale : {1.0, kSmallScale}) {
    for (const double aspect : kAspects) add(a.size_px * scale, b.size_px * scale, aspect);
  }
  if (a.size_px != b.size_px && a.encoder != b.encoder) {
    for (const int side : {a.size_px, b.size_px}) {
      for (const double aspect : {kAspects[0], kAspects[1], kAspects[2]}) add(side, side, aspect);
    }
  }
  return shapes;
}

PairMaker::PairMaker(const BridgeSide& a, const BridgeSide& b, std::vector<data::Item> pictures,
                     PairOptions options, Resize resize)
    : a_(a),
      b_(b),
      pictures_(std::move(pictures)),
      shapes_(bridge_shapes(a, b)),
      options_(options),
      resize_(std::move(resize)) {}

at::Tensor PairMaker::exact(const at::Tensor& latents, const BridgeShape& shape, bool forth) const {
  const at::Tensor pixels = (forth ? a_ : b_).decode(latents);
  return forth ? b_.encode(resize_(pixels, shape.b_width, shape.b_height))
               : a_.encode(resize_(pixels, shape.a_width, shape.a_height));
}

// A random part of a random picture, [3,height,width]; undefined if it cannot be read.
at::Tensor PairMaker::view(Rng& rng, int width, int height, data::Report& report) const {
  const auto picture = data::try_load_image(pictures_[rng.below(pictures_.size())], report);
  if (!picture) return {};
  image::Image part = image::composite_over(*picture, drawn_background(rng));
  const double aspect = double(width) / height;
  const double widest = std::min<double>(part.width, part.height * aspect);
  const double share = rng.uniform() < kWholeShare ? 1.0 : rng.uniform(kLeastViewShare, 1.0);
  const int w = std::clamp(static_cast<int>(std::lround(widest * share)), 1, part.width);
  const int h = std::clamp(static_cast<int>(std::lround(widest * share / aspect)), 1, part.height);
  const int x = static_cast<int>(rng.below(static_cast<uint64_t>(part.width - w + 1)));
  const int y = static_cast<int>(rng.below(static_cast<uint64_t>(part.height - h + 1)));
  part = image::resize(image::crop(part, x, y, w, h), width, height);
  if (rng.below(2) == 0) part = image::flip_horizontal(part);
  return tensors::pixels_of(part, -1.0, 1.0).squeeze(0);
}

void PairMaker::degrade(at::Tensor& pixels, Rng& rng, data::Report& report) const {
  const double drawn = rng.uniform();
  const auto blur = [&] {
    const double factor = std::exp(rng.uniform(std::log(kLeastBlur), std::log(kMostBlur)));
    pixels = low_passed(pixels, factor);
  };
  double share = options_.blur_share;
  if (drawn < share) return blur();
  share += options_.mix_share;
  if (drawn < share) {
    const at::Tensor other =
        view(rng, static_cast<int>(pixels.size(2)), static_cast<int>(pixels.size(1)), report);
    if (!other.defined()) return;
    pixels = at::lerp(pixels, other, rng.uniform(0.2, 0.8));
    if (rng.below(2) == 0) blur();
    return;
  }
  share += options_.pale_share;
  if (drawn >= share) return;
  pixels = at::lerp(pixels, pixels.mean({1, 2}, /*keepdim=*/true), rng.uniform(0.2, 0.9));
  if (rng.below(2) == 0) blur();
}

std::vector<LatentPair> PairMaker::encoded(const std::vector<at::Tensor>& pixels,
                                           const BridgeShape& shape) const {
  const at::Tensor all = at::stack(pixels);
  const at::Tensor a = a_.encode(resize_(all, shape.a_width, shape.a_height)).to(at::kHalf);
  const at::Tensor b = b_.encode(resize_(all, shape.b_width, shape.b_height)).to(at::kHalf);
  std::vector<LatentPair> pairs;
  for (int64_t i = 0; i < a.size(0); ++i) pairs.push_back({a[i].clone(), b[i].clone()});
  return pairs;
}

std::vector<LatentPair> PairMaker::batch(uint64_t number, int64_t count,
                                         data::Report& report) const {
  const at::NoGradGuard no_grad;
  Rng rng(options_.seed, kPairStream + number);
  const BridgeShape shape =
      rng.uniform() < kPlainShare ? shapes_.front() : shapes_[rng.below(shapes_.size())];
  const auto mixes = static_cast<int64_t>(
      std::floor(double(count) * options_.latent_mix_share / 2 + rng.uniform()));
  std::vector<at::Tensor> pixels;
  for (int64_t i = 0; i < count - 2 * mixes || i < 2; ++i) {
    at::Tensor one = view(rng, std::max(shape.a_width, shape.b_width),
                          std::max(shape.a_height, shape.b_height), report);
    if (!one.defined()) continue;
    degrade(one, rng, report);
    pixels.push_back(one);
  }
  if (pixels.empty()) return {};
  std::vector<LatentPair> pairs = encoded(pixels, shape);
  const size_t whole = pairs.size();
  for (const bool forth : {true, false}) {
    if (mixes == 0) continue;
    std::vector<at::Tensor> mixed;
    for (int64_t i = 0; i < mixes; ++i) {
      const auto one = [&] {
        const LatentPair& pair = pairs[rng.below(whole)];
        return (forth ? pair.a : pair.b).to(at::kFloat);
      };
      at::Tensor z = one();
      const uint64_t others = 1 + rng.below(3);
      for (uint64_t k = 0; k < others; ++k) z = at::lerp(z, one(), rng.uniform(0.1, 0.6));
      mixed.push_back(z);
    }
    const at::Tensor from = at::stack(mixed);
    const at::Tensor to = exact(from, shape, forth).to(at::kHalf);
    for (int64_t i = 0; i < mixes; ++i) {
      const at::Tensor z = from[i].to(at::kHalf);
      pairs.push_back(forth ? LatentPair{z, to[i].clone(), true, false}
                            : LatentPair{to[i].clone(), z, false, true});
    }
  }
  return pairs;
}

std::vector<LatentPair> PairMaker::plain(int64_t count, data::Report& report) const {
  const at::NoGradGuard no_grad;
  const BridgeShape& shape = shapes_.front();
  std::vector<LatentPair> pairs;
  for (size_t i = 0; i < pictures_.size() && static_cast<int64_t>(pairs.size()) < count; ++i) {
    const auto picture = data::try_load_image(pictures_[i], report);
    if (!picture) continue;
    const image::Image fitted = image::contain(*picture, std::max(shape.a_width, shape.b_width),
                                               std::max(shape.a_height, shape.b_height));
    pairs.push_back(encoded({tensors::pixels_of(fitted, -1.0, 1.0).squeeze(0)}, shape).front());
  }
  return pairs;
}

}  // namespace pangu::train
