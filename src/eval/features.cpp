#include "eval/features.h"

#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "core/error.h"
#include "core/hash.h"
#include "core/rng.h"
#include "data/dataset.h"
#include "image/resize.h"
#include "io/file_hash.h"
#include "io/safetensors.h"
#include "nn/features/inception.h"
#include "nn/weights.h"
#include "tensors/pictures.h"
#include "tensors/safetensors.h"

namespace pangu::eval {
namespace {

constexpr size_t kBatch = 8;
constexpr const char* kMadeOf = "made_of";
constexpr const char* kRecipe = "views 2";  // changes when `softened` or the layout of rows does

void report(const OnProgress& progress, size_t done, size_t total) {
  if (!progress) return;
  Progress now;
  now.done = int64_t(done);
  now.total = int64_t(total);
  now.unit = "pictures";
  progress(now);
}

tensors::TensorMap read_weights(const std::string& path) {
  try {
    return tensors::load_safetensors(path);
  } catch (const Error& problem) {
    throw while_doing("reading the feature extractor (--inception)", problem);
  }
}

std::string file_fingerprint(const std::string& path) {
  return io::sha256_of_file(path).substr(0, 16);
}

std::string made_of(const FeatureSource& source, const std::vector<data::Item>& items) {
  Sha256 hash;
  hash.update(std::string(kRecipe) + source.fingerprint);
  for (const data::Item& item : items) {
    const image::Bytes bytes = data::read_bytes(item);
    hash.update(item.id + "\n").update(std::as_bytes(std::span(bytes)));
  }
  return hex_of(hash.digest());
}

}  // namespace

Features Features::rows(const at::Tensor& index) const {
  return {mixed6.index_select(0, index), final.defined() ? final.index_select(0, index) : final};
}

Features cat(const std::vector<Features>& parts) {
  std::vector<at::Tensor> mixed6, final;
  for (const Features& part : parts) {
    mixed6.push_back(part.mixed6);
    if (part.final.defined()) final.push_back(part.final);
  }
  return {at::cat(mixed6), final.empty() ? at::Tensor() : at::cat(final)};
}

namespace {

Features features_of(const nn::Inception& network, const std::vector<image::Image>& pictures,
                     const OnProgress& progress) {
  std::vector<Features> parts;
  report(progress, 0, pictures.size());
  for (size_t first = 0; first < pictures.size();) {
    // Pictures of one size form a batch.
    std::vector<at::Tensor> batch;
    size_t i = first;
    while (i < pictures.size() && batch.size() < kBatch &&
           pictures[i].width == pictures[first].width &&
           pictures[i].height == pictures[first].height) {
      batch.push_back(tensors::pixels_of(pictures[i++], -1.0, 1.0));
    }
    const nn::InceptionFeatures found =
        network.features(at::cat(batch).contiguous(at::MemoryFormat::ChannelsLast));
    parts.push_back({found.mixed6, found.final});
    first = i;
    report(progress, i, pictures.size());
  }
  return cat(parts);
}

}  // namespace

FeatureSource inception_features(const std::string& weights_path) {
  const nn::TensorMap weights = read_weights(weights_path);
  const auto whole = std::make_shared<nn::Inception>(nn::InceptionConfig{}, weights);
  const auto early =
      std::make_shared<nn::Inception>(nn::InceptionConfig{.stop_at_mixed6 = true}, weights);
  return {file_fingerprint(weights_path),
          [whole, early](const std::vector<image::Image>& pictures, bool with_final,
                         const OnProgress& progress) {
            return features_of(with_final ? *whole : *early, pictures, progress);
          }};
}

image::Image softened(const image::Image& picture, const std::string& key) {
  constexpr int kLowPx = 64, kHighPx = 128;         // sides to which the blur shrinks a picture
  constexpr double kLowScale = 0.9, kShift = 0.04;  // shares of the side
  Rng rng(stable_hash(key), 0);
  const int small = kLowPx + int(rng.below(kHighPx - kLowPx + 1));
  const double scale = rng.uniform(kLowScale, 2 - kLowScale);
  const int width = int(picture.width * scale), height = int(picture.height * scale);
  const auto moved = [&](int side, int room) {
    return (room - side) / 2 + int(rng.uniform(-kShift, kShift) * room);
  };
  const int x = moved(width, picture.width), y = moved(height, picture.height);
  image::Image soft = image::resize(picture, small, small, image::Filter::kBilinear);
  soft = image::resize(soft, width, height, image::Filter::kBicubic);
  image::Image canvas = image::filled(picture.width, picture.height, {});
  image::paste(canvas, soft, {x, y, width, height});
  return rng.below(2) ? image::flip_horizontal(canvas) : canvas;
}

namespace {

// The features in the cache for the pictures that `key` stands for; undefined tensors if there are
// none.
Features kept_features(const std::string& cache, const std::string& key) {
  if (!std::filesystem::exists(cache)) return {};
  try {
    const io::Metadata cached = io::SafetensorsFile::open(cache).metadata();
    if (!cached.count(kMadeOf) || cached.at(kMadeOf) != key) return {};
    const nn::TensorMap kept = tensors::load_safetensors(cache);
    return {kept.at("mixed6"), kept.at("final")};
  } catch (const Error&) {
    return {};  // a file that is no longer readable is made again
  }
}

}  // namespace

Features real_features(const FeatureSource& source, const std::vector<data::Item>& items,
                       const std::string& cache, const OnProgress& progress, size_t save_every) {
  const std::string key = made_of(source, items);
  Features found = kept_features(cache, key);
  const size_t n = items.size(), all = n * kViews;
  size_t done = found.mixed6.defined() ? size_t(found.mixed6.size(0)) : 0, saved = done;
  std::vector<Features> fresh;
  if (done < all) report(progress, done, all);
  while (done < all) {
    // A batch ends with its view, because only view 0 needs `final`.
    const size_t view = done / n, first = done % n, count = std::min(kBatch, n - first);
    std::vector<image::Image> pictures;
    for (size_t i = first; i < first + count; ++i) {
      const image::Image picture = data::render_item(items[i], kPicturePx);
      pictures.push_back(view == 0 ? picture : softened(picture, items[i].id));
    }
    fresh.push_back(source.features_of(pictures, view == 0, {}));
    done += count;
    if (done == all || done - saved >= save_every) {
      if (found.mixed6.defined()) fresh.insert(fresh.begin(), found);
      found = cat(fresh);
      fresh.clear();
      saved = done;
      tensors::save_safetensors(cache, {{"mixed6", found.mixed6}, {"final", found.final}},
                                {{kMadeOf, key}});
    }
    report(progress, done, all);
  }
  return found;
}

}  // namespace pangu::eval
