#include "train/latent_encoding.h"

#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "core/hash.h"
#include "data/dataset.h"
#include "image/mask.h"
#include "tensors/pictures.h"
#include "train/denoiser_loss.h"

namespace pangu::train {
namespace {

constexpr int64_t kEncodeBatch = 16;
constexpr size_t kCaptionBatch = 32;
constexpr size_t kCacheDigits = 12;  // of the hash in a folder's name

// Assigns every distinct caption a number; the empty one is 0.
class CaptionBook {
 public:
  CaptionBook() { number_of(""); }
  std::vector<int32_t> numbers_of(const std::vector<std::string>& captions) {
    std::vector<int32_t> numbers;
    for (const std::string& caption : captions) numbers.push_back(number_of(caption));
    return numbers;
  }
  const std::vector<std::string>& texts() const { return texts_; }

 private:
  int32_t number_of(const std::string& caption) {
    const auto [found, fresh] = numbers_.emplace(caption, static_cast<int32_t>(texts_.size()));
    if (fresh) texts_.push_back(caption);
    return found->second;
  }
  std::unordered_map<std::string, int32_t> numbers_;
  std::vector<std::string> texts_;
};

bool stop_is_wanted(const Watch& watch) { return watch.wants_stop && watch.wants_stop(); }

// A cache that the run has no time to fill is saved as far as it is.
[[noreturn]] void stop_filling(const char* what, size_t done, size_t total, TensorCache& cache_) {
  cache_.save();
  throw Stopped(std::string(what) + ": stopped after " + std::to_string(done) + " of " +
                std::to_string(total) + "; these are kept");
}

void tell(const Watch& watch, size_t done, size_t total, const char* unit) {
  if (!watch.on_progress) return;
  watch.on_progress({.done = int64_t(done), .total = int64_t(total), .unit = unit, .text = ""});
}

// Captions of like length share a batch, so that little of it is padding.
void read_missing(const std::vector<std::string>& texts, std::vector<size_t> missing,
                  const std::function<std::string(const std::string&)>& key_of,
                  const LatentEncoders& encoders, TensorCache& cache_, const Watch& watch) {
  std::stable_sort(missing.begin(), missing.end(),
                   [&](size_t a, size_t b) { return texts[a].size() < texts[b].size(); });
  tell(watch, 0, missing.size(), "captions");
  for (size_t begin = 0; begin < missing.size(); begin += kCaptionBatch) {
    if (stop_is_wanted(watch)) stop_filling("captions", begin, missing.size(), cache_);
    const size_t end = std::min(missing.size(), begin + kCaptionBatch);
    std::vector<std::string> batch;
    for (size_t i = begin; i < end; ++i) batch.push_back(texts[missing[i]]);
    const diffusion::Conditions read = encoders.read(batch);
    const at::Tensor lengths = read.context_mask.sum(1);
    for (size_t r = 0; r < batch.size(); ++r) {
      const auto row = static_cast<int64_t>(r);
      const at::Tensor states = read.context[row].slice(0, 0, lengths[row].item<int64_t>());
      cache_.put(key_of(batch[r]), states.to(at::kBFloat16).clone());
    }
    tell(watch, end, missing.size(), "captions");
  }
  cache_.save();
}

CaptionStates caption_states(const std::vector<std::string>& texts, int64_t max_tokens,
                             const LatentEncoders& encoders, TensorCache& cache_,
                             const Watch& watch) {
  const auto key_of = [&](const std::string& text) {
    return std::to_string(max_tokens) + " " + sha256_hex(text);
  };
  std::vector<size_t> missing;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (!cache_.find(key_of(texts[i])).defined()) missing.push_back(i);
  }
  if (!missing.empty()) read_missing(texts, missing, key_of, encoders, cache_, watch);
  CaptionStates captions;
  captions.offsets.assign(1, 0);
  std::vector<at::Tensor> parts;
  for (const std::string& text : texts) {
    parts.push_back(cache_.find(key_of(text)));
    captions.offsets.push_back(captions.offsets.back() + parts.back().size(0));
  }
  captions.states = at::cat(parts);
  return captions;
}

// Pictures of one size waiting for the encoder.
class EncodeQueue {
 public:
  EncodeQueue(const LatentEncoders& encoders, TensorCache& cache)
      : encoders_(encoders), cache_(cache) {}

  void add(const std::string& key, const image::Image& picture) {
    Pending& p = pending_[{picture.width, picture.height}];
    p.keys.push_back(key);
    p.pictures.push_back(tensors::pixels_of(picture, -1.0, 1.0)[0]);
    if (static_cast<int64_t>(p.keys.size()) == kEncodeBatch) flush(p);
  }
  void flush() {
    for (auto& [size, p] : pending_) flush(p);
  }

 private:
  struct Pending {
    std::vector<std::string> keys;
    std::vector<at::Tensor> pictures;
  };
  void flush(Pending& p) {
    if (p.keys.empty()) return;
    const at::Tensor z = encoders_.encode(at::stack(p.pictures));
    for (size_t i = 0; i < p.keys.size(); ++i) {
      cache_.put(p.keys[i], z[static_cast<int64_t>(i)].to(at::kBFloat16));
    }
    p = {};
  }

  const LatentEncoders& encoders_;
  TensorCache& cache_;
  std::map<std::pair<int, int>, Pending> pending_;
};

std::string latent_key(const data::TrainingPicture& picture, int width, int height) {
  return std::to_string(width) + "x" + std::to_string(height) + " " + picture.key +
         (picture.is_masked ? " without alpha" : "");
}

std::string mask_key(const std::string& latent) { return latent + ", mask"; }

// How opaque each latent pixel's part of a picture is, [1,h,w] bf16.
at::Tensor loss_mask(const image::Image& picture, int width, int height, int64_t downscale) {
  const image::Image grey = image::alpha_of(picture);
  const at::Tensor pixels = tensors::pixels_of(data::render_picture(grey, width, height), 0.0, 1.0);
  return at::adaptive_avg_pool2d(pixels.slice(1, 0, 1), {height / downscale, width / downscale})[0]
      .to(at::kBFloat16);
}

// small_px: the side of a square at which each whole picture is encoded too; 0: none.
void encode_missing(const std::vector<data::TrainingPicture>& pictures, int small_px,
                    const LatentEncoders& encoders, TensorCache& cache_, data::Report& report_,
                    const Watch& watch) {
  EncodeQueue queue(encoders, cache_);
  size_t done = 0;
  bool begun = false;
  for (const data::TrainingPicture& one : pictures) {
    std::vector<std::pair<int, int>> sizes = {{one.width_px, one.height_px}};
    if (small_px > 0) sizes.emplace_back(small_px, small_px);
    std::erase_if(sizes, [&](const auto& size) {
      return cache_.find(latent_key(one, size.first, size.second)).defined();
    });
    if (!sizes.empty()) {
      if (stop_is_wanted(watch)) {
        queue.flush();
        stop_filling("latents", done, pictures.size(), cache_);
      }
      if (!std::exchange(begun, true)) tell(watch, done, pictures.size(), "pictures");
      const std::optional<image::Image> picture = one.draw(report_);
      for (const auto& [width, height] : sizes) {
        if (!picture) break;
        const std::string key = latent_key(one, width, height);
        if (one.is_masked)
          cache_.put(mask_key(key), loss_mask(*picture, width, height, encoders.downscale));
        queue.add(key,
                  data::render_picture(one.is_masked ? image::without_alpha(*picture) : *picture,
                                       width, height));
      }
      tell(watch, done + 1, pictures.size(), "pictures");
    }
    ++done;
  }
  queue.flush();
  cache_.save();
}

}  // namespace

std::string cache_folder(const TrainConfig& config, const LatentEncoders& encoders) {
  if (config.cache_dir.empty()) return "";
  namespace fs = std::filesystem;
  const std::string data = config.train_data_dir.empty() ? "" : config.train_data_dir.front();
  const std::string what = encoders.latents_maker + "\n" + encoders.captions_maker + "\n" +
                           fs::absolute(data).lexically_normal().string();
  return config.cache_dir + "/" + sha256_hex(what).substr(0, kCacheDigits);
}

std::shared_ptr<LatentSet> encode_training_set(const TrainConfig& config,
                                               const std::vector<data::TrainingPicture>& pictures,
                                               const LatentEncoders& encoders,
                                               data::Report& report_,
                                               const EncodingWatches& watches) {
  const at::NoGradGuard no_grad;
  for (const data::TrainingPicture& one : pictures) {
    check_latent_crop(config, one.height_px / encoders.downscale,
                      one.width_px / encoders.downscale);
  }
  const std::string folder = cache_folder(config, encoders);
  const auto file = [&](const char* name) { return folder.empty() ? "" : folder + "/" + name; };
  if (!folder.empty()) std::filesystem::create_directories(folder);
  auto set = std::make_shared<LatentSet>();
  CaptionBook book;
  std::vector<std::vector<std::vector<int32_t>>> captions;  // of every picture
  for (const data::TrainingPicture& one : pictures) {
    auto& languages = captions.emplace_back();
    for (const auto& texts : one.captions) languages.push_back(book.numbers_of(texts));
  }
  if (encoders.read) {
    TensorCache cache(file("captions.safetensors"), encoders.captions_maker);
    set->captions =
        caption_states(book.texts(), config.max_token_length, encoders, cache, watches.captions);
  }
  const int small_px = static_cast<int>(config.latent_crop * encoders.downscale);
  TensorCache cache(file("latents.safetensors"), encoders.latents_maker);
  encode_missing(pictures, small_px, encoders, cache, report_, watches.latents);
  for (size_t i = 0; i < pictures.size(); ++i) {
    const data::TrainingPicture& one = pictures[i];
    const std::string key = latent_key(one, one.width_px, one.height_px);
    const std::string small_key = latent_key(one, small_px, small_px);
    const at::Tensor latent = cache.find(key);
    if (!latent.defined()) continue;
    LatentItem& item = set->items.emplace_back();
    item.latent = latent;
    if (small_px > 0) item.small_latent = cache.find(small_key);
    if (one.is_masked) item.mask = cache.find(mask_key(key));
    if (one.is_masked && small_px > 0) item.small_mask = cache.find(mask_key(small_key));
    item.repeats = one.repeats;
    item.captions = captions[i];
    if (encoders.control) item.control = encoders.control(latent.to(at::kFloat)).to(at::kBFloat16);
    if (encoders.picture) item.picture = encoders.picture(latent.to(at::kFloat)).to(at::kBFloat16);
  }
  return set;
}

}  // namespace pangu::train
