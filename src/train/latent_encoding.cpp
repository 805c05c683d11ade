#include "train/latent_encoding.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "data/dataset.h"
#include "image/mask.h"
#include "io/file_claims.h"
#include "io/http_file.h"
#include "tensors/pictures.h"
#include "train/ahead.h"
#include "train/denoiser_loss.h"

namespace pangu::train {
namespace {

// Pictures that are encoded at once: of up to 256 x 256 pixels, and of larger ones, whose insides
// take half a gigabyte for every 512 x 512 pixels in f32.
constexpr int64_t kEncodeBatch = 16;
constexpr int64_t kSmallPixels = int64_t{256} * 256, kEncodePixels = int64_t{512} * 512;
constexpr size_t kCaptionBatch = 32;
// Parts that processes divide among themselves, and that are written as one file each.
constexpr size_t kMostParts = 4096;
constexpr size_t kPartCaptions = 32 * kCaptionBatch;
constexpr int64_t kPartPixels = 32 * kEncodePixels;
constexpr int kDecoders = 2;          // threads
constexpr size_t kDecodedAhead = 16;  // pictures
constexpr size_t kCacheDigits = 12;   // of the hash in a folder's name

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

// What the run has no time to compute is written as far as it is.
[[noreturn]] void stop_filling(const char* what, size_t done, size_t total, TensorShards& cache_) {
  cache_.write();
  throw Stopped(std::string(what) + ": stopped after " + std::to_string(done) + " of " +
                std::to_string(total) + "; these are kept");
}

void tell(const Watch& watch, size_t done, size_t total, const char* unit) {
  if (!watch.on_progress) return;
  watch.on_progress({.done = int64_t(done), .total = int64_t(total), .unit = unit, .text = ""});
}

// Numbered parts of a work that all processes of a training know alike. Each process fills those
// that no other one has claimed, then waits for the others' and fills what these left undone.
class SharedParts {
 public:
  // Of an empty folder there are no others.
  SharedParts(const std::string& folder, const std::string& prefix) {
    if (!folder.empty()) claims_.emplace(folder + "/" + prefix + ".claims");
  }

  // is_missing: something of the part is. stop: ends the wait for others by throwing Stopped.
  void fill(size_t parts, TensorShards& cache_, const std::function<bool(size_t part)>& is_missing,
            const std::function<void(size_t part)>& fill_part, const std::function<void()>& stop) {
    std::vector<size_t> left;
    for (size_t part = 0; part < parts; ++part) {
      if (is_missing(part) && !fill_if_free(part, cache_, is_missing, fill_part)) {
        left.push_back(part);
      }
    }
    for (const size_t part : left) {
      while (!fill_if_free(part, cache_, is_missing, fill_part)) {
        stop();
        std::this_thread::sleep_for(kClaimPause);
      }
    }
  }

 private:
  static constexpr std::chrono::milliseconds kClaimPause{100};

  // False if another process fills it.
  bool fill_if_free(size_t part, TensorShards& cache_,
                    const std::function<bool(size_t)>& is_missing,
                    const std::function<void(size_t)>& fill_part) {
    if (!claims_) {
      fill_part(part);
      return true;
    }
    if (!claims_->try_claim(part)) return false;
    cache_.refresh();  // it may have been filled since
    if (is_missing(part)) {
      fill_part(part);
      cache_.write();
    }
    claims_->release(part);
    return true;
  }

  std::optional<io::FileClaims> claims_;
};

// How many of `count` neighbours make a part, so that there are no more than kMostParts.
size_t part_size(size_t count, size_t least) {
  return std::max(least, (count + kMostParts - 1) / kMostParts);
}

std::string pooled_key(const std::string& caption) { return caption + ", pooled"; }

struct CaptionFiller {
  const std::vector<std::string>& texts;
  int64_t max_tokens;
  const LatentEncoders& encoders;
  TensorShards& cache;
  const Watch& watch;
  size_t done = 0, total = 0;

  std::string key_of(const std::string& text) const {
    return std::to_string(max_tokens) + " " + sha256_hex(text);
  }

  std::vector<size_t> missing_of(size_t begin, size_t end) const {
    std::vector<size_t> missing;
    for (size_t i = begin; i < end; ++i) {
      if (!cache.has(key_of(texts[i]))) missing.push_back(i);
    }
    return missing;
  }

  // Captions of like length share a batch, so that little of it is padding.
  void read(std::vector<size_t> missing) {
    std::stable_sort(missing.begin(), missing.end(),
                     [&](size_t a, size_t b) { return texts[a].size() < texts[b].size(); });
    if (done == 0) tell(watch, 0, total, "captions");
    for (size_t begin = 0; begin < missing.size(); begin += kCaptionBatch) {
      if (stop_is_wanted(watch)) stop_filling("captions", done, total, cache);
      const size_t end = std::min(missing.size(), begin + kCaptionBatch);
      std::vector<std::string> batch;
      for (size_t i = begin; i < end; ++i) batch.push_back(texts[missing[i]]);
      const diffusion::Conditions read = encoders.read(batch);
      for (size_t r = 0; r < batch.size(); ++r) {
        const auto row = static_cast<int64_t>(r);
        at::Tensor states = read.context[row];
        if (read.context_mask.defined()) {
          states = states.slice(0, 0, read.context_mask[row].sum().item<int64_t>());
        }
        cache.put(key_of(batch[r]), states.to(encoders.states_type).clone());
        if (read.pooled.defined()) {
          cache.put(pooled_key(key_of(batch[r])),
                    read.pooled[row].to(encoders.states_type).clone());
        }
      }
      done += end - begin;
      tell(watch, done, total, "captions");
    }
  }

  void fill(SharedParts& parts_) {
    total = missing_of(0, texts.size()).size();
    const size_t size = part_size(texts.size(), kPartCaptions);
    const auto end_of = [&](size_t part) { return std::min(texts.size(), (part + 1) * size); };
    const auto missing = [&](size_t part) { return missing_of(part * size, end_of(part)); };
    parts_.fill((texts.size() + size - 1) / size, cache,
                [&](size_t part) { return !missing(part).empty(); },
                [&](size_t part) { read(missing(part)); },
                [&] {
                  if (stop_is_wanted(watch)) stop_filling("captions", done, total, cache);
                });
    cache.write();
  }
};

CaptionStates caption_states(const std::vector<std::string>& texts, int64_t max_tokens,
                             const LatentEncoders& encoders, const std::string& folder,
                             const Watch& watch) {
  TensorShards cache(folder, "captions", encoders.captions_maker);
  SharedParts parts(folder, "captions");
  CaptionFiller filler{texts, max_tokens, encoders, cache, watch};
  filler.fill(parts);
  CaptionStates captions;
  captions.are_filled_up = encoders.fills_captions_up;
  captions.are_ids = encoders.reads_ids;
  for (const std::string& text : texts) {
    const std::string key = filler.key_of(text);
    captions.states.push_back(cache.find(key));
    KeptTensor pooled = cache.find(pooled_key(key));
    if (pooled.defined()) captions.pooled.push_back(std::move(pooled));
  }
  if (captions.pooled.size() != texts.size()) captions.pooled.clear();
  return captions;
}

// Pictures of one size waiting for the encoder.
class EncodeQueue {
 public:
  EncodeQueue(const LatentEncoders& encoders, TensorShards& cache)
      : encoders_(encoders), cache_(cache) {}

  void add(const std::string& key, const image::Image& picture) {
    Pending& p = pending_[{picture.width, picture.height}];
    p.keys.push_back(key);
    p.pictures.push_back(tensors::pixels_of(picture, -1.0, 1.0)[0]);
    const int64_t pixels = int64_t{picture.width} * picture.height;
    const int64_t most =
        pixels <= kSmallPixels ? kEncodeBatch : std::max<int64_t>(1, kEncodePixels / pixels);
    if (static_cast<int64_t>(p.keys.size()) == most) flush(p);
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
      cache_.put(p.keys[i], z[static_cast<int64_t>(i)].to(encoders_.latents_type).clone());
    }
    p = {};
  }

  const LatentEncoders& encoders_;
  TensorShards& cache_;
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

// As it is trained on: RGB of the size of `one`.
image::Image trained_picture(const data::TrainingPicture& one, const image::Image& picture,
                             int width, int height) {
  return data::render_picture(one.is_masked ? image::without_alpha(picture) : picture, width,
                              height);
}

data::TrainingPicture without_captions(data::TrainingPicture picture) {
  picture.captions = std::vector<std::vector<std::string>>();
  return picture;
}

// What belongs to a picture.
ReadTensor reader_of(const std::function<at::Tensor(const data::TrainingPicture&)>& read,
                     const data::TrainingPicture& picture) {
  return [read, one = without_captions(picture)] { return read(one); };
}

// What is made of a latent.
ReadTensor reader_of(const std::function<at::Tensor(const at::Tensor&)>& make,
                     const KeptTensor& latent) {
  return [make, latent] {
    const at::NoGradGuard no_grad;
    return make(latent.load().to(at::kFloat)).to(at::kBFloat16);
  };
}

// LatentItem::pixels
ReadTensor pixels_reader(const data::TrainingPicture& picture) {
  return [one = without_captions(picture)] {
    data::Report report;
    const auto drawn = one.draw(report);
    if (!drawn) {
      throw bad_input("a picture of train_data_dir", "one that can be read, as before",
                      report.text());
    }
    return tensors::pixels_of(trained_picture(one, *drawn, one.width_px, one.height_px), -1.0, 1.0);
  };
}

std::string grey_key(int64_t width_px, int64_t height_px) {
  return std::to_string(width_px) + "x" + std::to_string(height_px) + " masked as a whole";
}

// What a set has beside its items whose pixels are read again. They are few: a size each.
void add_mask_inputs(const LatentEncoders& encoders, TensorShards& cache_, LatentSet& set_) {
  set_.downscale = encoders.downscale;
  set_.encode = encoders.encode;
  for (const LatentItem& item : set_.items) {
    const int64_t h = item.latent.size(1), w = item.latent.size(2);
    KeptTensor& grey = set_.grey[{h, w}];
    if (grey.defined()) continue;
    const int64_t height_px = h * encoders.downscale, width_px = w * encoders.downscale;
    const std::string key = grey_key(width_px, height_px);
    if (!cache_.has(key)) {
      const at::Tensor z = encoders.encode(at::zeros({1, 3, height_px, width_px}))[0];
      cache_.put(key, z.to(encoders.latents_type).clone());
    }
    grey = cache_.find(key);
  }
  cache_.write();
}

// A decoded picture, or why there is none.
struct DecodedPicture {
  std::optional<image::Image> picture;
  data::Report report;
};

// Pictures to latents, part by part. While the encoder works, the next pictures are decoded.
struct LatentFiller {
  const std::vector<data::TrainingPicture>& pictures;
  int small_px;  // the side of a square at which each whole picture is encoded too; 0: none
  const LatentEncoders& encoders;
  TensorShards& cache;
  const Watch& watch;
  size_t done = 0;
  bool begun = false;

  std::vector<std::pair<int, int>> missing_sizes(const data::TrainingPicture& one) const {
    std::vector<std::pair<int, int>> sizes = {{one.width_px, one.height_px}};
    if (small_px > 0) sizes.emplace_back(small_px, small_px);
    std::erase_if(sizes, [&](const auto& size) {
      const std::string key = latent_key(one, size.first, size.second);
      return cache.has(key) || cache.skipped(key);
    });
    return sizes;
  }

  // What is encoded by then is kept, too, where a picture's server is away or the run is to stop.
  void encode(const std::vector<size_t>& missing) {
    EncodeQueue queue(encoders, cache);
    try {
      encode_all(missing, queue);
    } catch (...) {
      queue.flush();
      cache.write();
      throw;
    }
  }

  void encode_all(const std::vector<size_t>& missing, EncodeQueue& queue_) {
    Ahead<size_t, DecodedPicture> ahead(
        [&](size_t place) {
          DecodedPicture decoded;
          decoded.picture = pictures[missing[place]].draw(decoded.report);
          return decoded;
        },
        kDecoders);
    for (size_t place = 0; place < missing.size(); ++place) {
      const data::TrainingPicture& one = pictures[missing[place]];
      if (stop_is_wanted(watch)) stop_filling("latents", done, pictures.size(), cache);
      if (!std::exchange(begun, true)) tell(watch, done, pictures.size(), "pictures");
      for (size_t next = place + 1; next < std::min(missing.size(), place + kDecodedAhead);
           ++next) {
        ahead.ask(next);
      }
      add(one, ahead.take(place), queue_);
      tell(watch, ++done, pictures.size(), "pictures");
    }
    queue_.flush();
  }

  void add(const data::TrainingPicture& one, const DecodedPicture& decoded, EncodeQueue& queue_) {
    for (const auto& [width, height] : missing_sizes(one)) {
      const std::string key = latent_key(one, width, height);
      if (!decoded.picture) {
        // Later runs, and other processes, leave it out without trying it again.
        const auto& why = decoded.report.skipped_because;
        if (why.empty()) continue;
        cache.skip(key, {why[0].first_names.at(0), why[0].text});
        continue;
      }
      const image::Image& picture = *decoded.picture;
      if (one.is_masked) {
        cache.put(mask_key(key), loss_mask(picture, width, height, encoders.downscale));
      }
      queue_.add(key, trained_picture(one, picture, width, height));
    }
  }

  void fill(SharedParts& parts_) {
    const size_t size = part_size(pictures.size(), least_part());
    const auto missing = [&](size_t part) {
      std::vector<size_t> places;
      for (size_t i = part * size; i < std::min(pictures.size(), (part + 1) * size); ++i) {
        if (!missing_sizes(pictures[i]).empty()) places.push_back(i);
      }
      return places;
    };
    const size_t count = (pictures.size() + size - 1) / size;
    done = pictures.size();
    for (size_t part = 0; part < count; ++part) done -= missing(part).size();
    parts_.fill(
        count, cache, [&](size_t part) { return !missing(part).empty(); },
        [&](size_t part) { encode(missing(part)); },
        [&] {
          if (stop_is_wanted(watch)) {
            stop_filling("latents", done, pictures.size(), cache);
          }
        });
    cache.write();
  }

 private:
  // Of so many pixels that what a process that is killed has not written yet is minutes of work.
  size_t least_part() const {
    int64_t pixels = 1;
    for (const data::TrainingPicture& one : pictures) {
      pixels = std::max(pixels, int64_t{one.width_px} * one.height_px);
    }
    return static_cast<size_t>(std::max<int64_t>(kEncodeBatch, kPartPixels / pixels));
  }
};

// Pictures that are smaller than a latent pixel would end in a library's own words.
void check_has_latents(const data::TrainingPicture& one, int64_t downscale) {
  if (std::min(one.width_px, one.height_px) >= downscale) return;
  throw bad_input(
      "resolution",
      "pictures of at least " + std::to_string(downscale) + " px a side, a latent pixel",
      std::to_string(one.width_px) + "x" + std::to_string(one.height_px));
}

}  // namespace

std::string cache_folder(const TrainConfig& config, const LatentEncoders& encoders) {
  if (config.cache_dir.empty()) return "";
  namespace fs = std::filesystem;
  const std::string data = config.train_data_dir.empty() ? "" : config.train_data_dir.front();
  const std::string place =
      io::is_url(data) ? data : fs::absolute(data).lexically_normal().string();
  const std::string what = encoders.latents_maker + "\n" + encoders.captions_maker + "\n" + place;
  return config.cache_dir + "/" + sha256_hex(what).substr(0, kCacheDigits);
}

std::shared_ptr<LatentSet> encode_training_set(const TrainConfig& config,
                                               const std::vector<data::TrainingPicture>& pictures,
                                               const LatentEncoders& encoders,
                                               data::Report& report_,
                                               const EncodingWatches& watches) {
  const at::NoGradGuard no_grad;
  for (const data::TrainingPicture& one : pictures) {
    check_has_latents(one, encoders.downscale);
    check_latent_crop(config, one.height_px / encoders.downscale,
                      one.width_px / encoders.downscale);
  }
  const std::string folder = cache_folder(config, encoders);
  if (!folder.empty()) std::filesystem::create_directories(folder);
  auto set = std::make_shared<LatentSet>();
  CaptionBook book;
  std::vector<std::vector<std::vector<int32_t>>> captions;  // of every picture
  for (const data::TrainingPicture& one : pictures) {
    auto& languages = captions.emplace_back();
    for (const auto& texts : one.captions) languages.push_back(book.numbers_of(texts));
  }
  if (encoders.read) {
    set->captions =
        caption_states(book.texts(), config.max_token_length, encoders, folder, watches.captions);
  }
  const int small_px = static_cast<int>(config.latent_crop * encoders.downscale);
  TensorShards cache(folder, "latents", encoders.latents_maker);
  SharedParts parts(folder, "latents");
  LatentFiller{pictures, small_px, encoders, cache, watches.latents}.fill(parts);
  for (size_t i = 0; i < pictures.size(); ++i) {
    const data::TrainingPicture& one = pictures[i];
    const std::string key = latent_key(one, one.width_px, one.height_px);
    const std::string small_key = latent_key(one, small_px, small_px);
    const KeptTensor latent = cache.find(key);
    if (const auto* why = cache.skipped(key)) report_.skip(why->name, why->reason);
    if (!latent.defined()) continue;
    LatentItem& item = set->items.emplace_back();
    item.latent = latent;
    if (small_px > 0) item.small_latent = cache.find(small_key);
    if (one.is_masked) item.mask = cache.find(mask_key(key));
    if (one.is_masked && small_px > 0) item.small_mask = cache.find(mask_key(small_key));
    item.repeats = one.repeats;
    item.captions = captions[i];
    if (encoders.size_numbers) item.size_numbers = at::tensor(encoders.size_numbers(one));
    if (encoders.loss_weight) item.loss_weight = encoders.loss_weight(one);
    if (encoders.hint) item.control = reader_of(encoders.hint, one);
    if (encoders.tells_masks) item.pixels = pixels_reader(one);
    if (encoders.own_mask) item.own_mask = reader_of(encoders.own_mask, one);
    if (encoders.control) item.control = reader_of(encoders.control, latent);
    if (encoders.picture) item.picture = reader_of(encoders.picture, latent);
  }
  if (encoders.tells_masks) add_mask_inputs(encoders, cache, *set);
  return set;
}

}  // namespace pangu::train
