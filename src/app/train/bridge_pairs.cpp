#include "app/train/bridge_pairs.h"

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include "app/home.h"
#include "core/error.h"
#include "image/resize.h"
#include "pipeline/canvas.h"
#include "pipeline/families/autoencoders.h"
#include "pipeline/latent_space.h"
#include "tensors/pictures.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBatchStream = 1ull << 56;
constexpr int64_t kLeastCells = 4;  // a side of latents
constexpr double kSmallScale = 0.75;
constexpr std::array<double, 5> kAspects = {1.0, 3.0 / 2, 2.0 / 3, 4.0 / 3, 3.0 / 4};
constexpr double kPlainShare = 0.4;                   // of batches at the first shape
constexpr double kWholeShare = 0.3;                   // of views: as much as the aspect allows
constexpr double kLeastCrop = 0.4;                    // side of a crop by the picture's
constexpr double kBackgroundShare = 0.3;              // cut-outs on a colour instead of white
constexpr double kLeastBlur = 1.5, kMostBlur = 16.0;  // pixels of detail that are lost

int whole(double side, int unit) {
  return static_cast<int>(std::max<int64_t>(kLeastCells, std::lround(side / unit))) * unit;
}

image::Color background(Rng& rng) {
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

at::Tensor resized(const at::Tensor& pixels, int width, int height) {
  return pipeline::resampled(pixels, height, width, image::Filter::kBicubic);
}

std::vector<data::Item> loose_pictures(const std::string& folder) {
  std::vector<data::Item> items;
  std::error_code failed;
  for (const auto& entry : fs::recursive_directory_iterator(
           folder, fs::directory_options::skip_permission_denied, failed)) {
    std::string extension = entry.path().extension().string();
    for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const bool picture =
        extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".webp";
    if (!picture || !entry.is_regular_file(failed)) continue;
    data::Item item;
    item.id = entry.path().string();
    item.bytes.path = item.id;
    items.push_back(std::move(item));
  }
  std::sort(items.begin(), items.end(), [](const auto& x, const auto& y) { return x.id < y.id; });
  return items;
}

}  // namespace

BridgeSide open_bridge_side(const std::string& path, int size_px,
                            const pipeline::LoadOptions& options) {
  BridgeSide side;
  const fs::path where = model_path(path);
  const bool alone = fs::is_directory(where) && !fs::exists(where / "model_index.json") &&
                     fs::exists(where / "config.json");
  if (alone) {
    const auto [component, what] = pipeline::open_autoencoder(where.string());
    const auto shared = std::make_shared<pipeline::Component>(component);
    const pipeline::Placement place = pipeline::vae_placement_of(options, /*follows=*/false);
    const pipeline::LatentCodec autoencoder =
        what.part == io::Part::kTinyVae
            ? pipeline::tiny_autoencoder(shared, place, options.vae_tile)
            : pipeline::kl_autoencoder(shared, 1.0, place, options.vae_tile);
    side.name = where.filename().string();
    side.space = autoencoder.space;
    side.channels = autoencoder.channels;
    side.downscale = autoencoder.downscale;
    side.decode = [decode = autoencoder.decode](const at::Tensor& z) { return decode(z, {}); };
    side.encode = [encode = autoencoder.encode](const at::Tensor& x) { return encode(x, {}).mean; };
  } else {
    const auto model =
        std::make_shared<const pipeline::Model>(pipeline::load_model(where.string(), options));
    if (!model->latents.decode || !model->latents.encode) {
      throw bad_input("model '" + model->name + "'", "an autoencoder of both halves",
                      model->latents.decode ? "no encoder" : "no decoder");
    }
    side.name = model->name;
    side.space = model->latents.space;
    side.channels = model->latents.channels;
    side.downscale = model->latents.downscale;
    const auto& defaults = model->rules.defaults;
    side.size_px =
        static_cast<int>(std::lround(std::sqrt(double(*defaults.width) * *defaults.height)));
    side.decode = [model](const at::Tensor& z) { return model->latents.decode(z, {}); };
    side.encode = [model](const at::Tensor& x) { return model->latents.encode(x, {}).mean; };
  }
  if (size_px > 0) side.size_px = size_px;
  if (side.size_px > 0) side.size_px = whole(side.size_px, side.downscale);
  return side;
}

std::vector<data::Item> bridge_pictures(const std::string& path) {
  if (!fs::exists(path)) {
    throw bad_input("--images", "a folder of pictures, or a dataset", "'" + path + "'");
  }
  std::vector<data::Item> items;
  const bool dataset = !fs::is_directory(path) || fs::exists(fs::path(path) / "manifest.jsonl");
  if (!dataset) items = loose_pictures(path);
  if (items.empty()) {
    data::Report report;
    items = data::open_dataset(path, report);
  }
  return items;
}

std::vector<BridgeShape> bridge_shapes(const BridgeSide& a, const BridgeSide& b) {
  std::vector<BridgeShape> shapes;
  const auto add = [&](double a_side, double b_side, double aspect) {
    const double wide = std::sqrt(aspect);
    const BridgeShape shape{whole(a_side * wide, a.downscale), whole(a_side / wide, a.downscale),
                            whole(b_side * wide, b.downscale), whole(b_side / wide, b.downscale)};
    const auto same = [&](const BridgeShape& s) {
      return s.a_width == shape.a_width && s.a_height == shape.a_height &&
             s.b_width == shape.b_width && s.b_height == shape.b_height;
    };
    if (std::none_of(shapes.begin(), shapes.end(), same)) shapes.push_back(shape);
  };
  for (const double scale : {1.0, kSmallScale}) {
    for (const double aspect : kAspects) add(a.size_px * scale, b.size_px * scale, aspect);
  }
  if (a.size_px != b.size_px && !pipeline::one_encoder(a.space, b.space)) {
    for (const int side : {a.size_px, b.size_px}) {
      for (const double aspect : {kAspects[0], kAspects[1], kAspects[2]}) add(side, side, aspect);
    }
  }
  return shapes;
}

PairMaker::PairMaker(const BridgeSide& a, const BridgeSide& b, std::vector<data::Item> pictures,
                     PairOptions options)
    : a_(a),
      b_(b),
      pictures_(std::move(pictures)),
      shapes_(bridge_shapes(a, b)),
      options_(options) {}

at::Tensor PairMaker::exact(const at::Tensor& latents, const BridgeShape& shape, bool forth) const {
  const at::Tensor pixels = (forth ? a_ : b_).decode(latents);
  return forth ? b_.encode(resized(pixels, shape.b_width, shape.b_height))
               : a_.encode(resized(pixels, shape.a_width, shape.a_height));
}

// A random part of a random picture, [3,height,width]; undefined if it cannot be read.
at::Tensor PairMaker::view(Rng& rng, int width, int height, data::Report& report) const {
  const auto picture = data::try_load_image(pictures_[rng.below(pictures_.size())], report);
  if (!picture) return {};
  image::Image part = image::composite_over(*picture, background(rng));
  const double aspect = double(width) / height;
  const double widest = std::min<double>(part.width, part.height * aspect);
  const double share = rng.uniform() < kWholeShare ? 1.0 : rng.uniform(kLeastCrop, 1.0);
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

std::vector<train::LatentPair> PairMaker::encoded(const std::vector<at::Tensor>& pixels,
                                                  const BridgeShape& shape) const {
  const at::Tensor all = at::stack(pixels);
  const at::Tensor a = a_.encode(resized(all, shape.a_width, shape.a_height)).to(at::kHalf);
  const at::Tensor b = b_.encode(resized(all, shape.b_width, shape.b_height)).to(at::kHalf);
  std::vector<train::LatentPair> pairs;
  for (int64_t i = 0; i < a.size(0); ++i) pairs.push_back({a[i].clone(), b[i].clone()});
  return pairs;
}

std::vector<train::LatentPair> PairMaker::batch(uint64_t number, int64_t count,
                                                data::Report& report) const {
  const at::NoGradGuard no_grad;
  Rng rng(options_.seed, kBatchStream + number);
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
  std::vector<train::LatentPair> pairs = encoded(pixels, shape);
  const size_t whole = pairs.size();
  for (const bool forth : {true, false}) {
    if (mixes == 0) continue;
    std::vector<at::Tensor> mixed;
    for (int64_t i = 0; i < mixes; ++i) {
      const auto one = [&] {
        const train::LatentPair& pair = pairs[rng.below(whole)];
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
      pairs.push_back(forth ? train::LatentPair{z, to[i].clone(), true, false}
                            : train::LatentPair{to[i].clone(), z, false, true});
    }
  }
  return pairs;
}

std::vector<train::LatentPair> PairMaker::plain(int64_t count, data::Report& report) const {
  const at::NoGradGuard no_grad;
  const BridgeShape& shape = shapes_.front();
  std::vector<train::LatentPair> pairs;
  for (size_t i = 0; i < pictures_.size() && static_cast<int64_t>(pairs.size()) < count; ++i) {
    const auto picture = data::try_load_image(pictures_[i], report);
    if (!picture) continue;
    const image::Image fitted = image::contain(*picture, std::max(shape.a_width, shape.b_width),
                                               std::max(shape.a_height, shape.b_height));
    pairs.push_back(encoded({tensors::pixels_of(fitted, -1.0, 1.0).squeeze(0)}, shape).front());
  }
  return pairs;
}

}  // namespace pangu::app
