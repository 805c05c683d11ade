#include "app/train/latent_cache.h"

#include <torch/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "app/train/training.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "data/buckets.h"
#include "data/scenes.h"
#include "image/canny.h"
#include "image/mask.h"
#include "io/file_hash.h"
#include "io/json_file.h"
#include "nn/autoencoder/pixel_space.h"
#include "nn/text/clip_vision.h"
#include "nn/text/text_encoder.h"
#include "nn/weights.h"
#include "pipeline/families/autoencoders.h"
#include "tensors/pictures.h"
#include "text/unigram.h"
#include "train/denoiser_loss.h"

namespace pangu::app {
namespace {

using Stop = std::function<bool()>;

constexpr int64_t kEncodeBatch = 16;
constexpr int64_t kCaptionBatch = 32;

// Assigns every distinct caption a number; the empty one is 0.
class CaptionBook {
 public:
  CaptionBook() { number_of(""); }
  int32_t number_of(const std::string& caption) {
    const auto [found, fresh] = numbers_.emplace(caption, static_cast<int32_t>(texts_.size()));
    if (fresh) texts_.push_back(caption);
    return found->second;
  }
  const std::vector<std::string>& texts() const { return texts_; }

 private:
  std::unordered_map<std::string, int32_t> numbers_;
  std::vector<std::string> texts_;
};

// A cache that the run has no time to fill is saved as far as it is.
bool stopped(const Stop& stop, const char* what, size_t done, size_t total,
             train::TensorCache& cache, ProgressBar* bar) {
  if (!stop || !stop()) return false;
  cache.save();
  if (bar) bar->finish();
  std::fprintf(stderr, "%s: stopped after %zu of %zu; these are kept\n", what, done, total);
  return true;
}

// Computes what the cache misses. Captions of like length share a batch, so that little is padding.
// Nothing if stopped.
std::optional<train::CaptionStates> caption_states(const std::string& model_dir,
                                                   const std::vector<std::string>& texts,
                                                   int64_t max_tokens, train::TensorCache& cache,
                                                   const Stop& stop, ProgressBar* bar) {
  const auto key_of = [&](const std::string& text) {
    return std::to_string(max_tokens) + " " + sha256_hex(text);
  };
  std::vector<size_t> missing;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (!cache.find(key_of(texts[i])).defined()) missing.push_back(i);
  }
  if (!missing.empty()) {
    const auto encoder = nn::TextEncoder::from_folder(model_dir + "/text_encoder");
    const auto tokenizer =
        text::UnigramTokenizer::from_file(model_dir + "/tokenizer/tokenizer.json");
    std::vector<std::vector<int32_t>> ids(texts.size());
    for (const size_t i : missing) {
      ids[i] = tokenizer.encode(encoder.config().prompt_prefix + texts[i],
                                static_cast<size_t>(max_tokens));
    }
    std::stable_sort(missing.begin(), missing.end(),
                     [&](size_t a, size_t b) { return ids[a].size() < ids[b].size(); });
    for (size_t begin = 0; begin < missing.size(); begin += kCaptionBatch) {
      if (stopped(stop, "captions", begin, missing.size(), cache, bar)) return std::nullopt;
      const size_t end = std::min(missing.size(), begin + kCaptionBatch);
      const int64_t rows = static_cast<int64_t>(end - begin);
      const int64_t length = static_cast<int64_t>(ids[missing[end - 1]].size());
      at::Tensor batch = at::full({rows, length}, tokenizer.pad(), at::kLong);
      at::Tensor mask = at::zeros({rows, length}, at::kLong);
      for (int64_t r = 0; r < rows; ++r) {
        const auto& row = ids[missing[begin + static_cast<size_t>(r)]];
        for (size_t k = 0; k < row.size(); ++k) {
          batch[r][static_cast<int64_t>(k)] = row[k];
          mask[r][static_cast<int64_t>(k)] = 1;
        }
      }
      const at::Tensor states = encoder.encode(batch, mask).to(at::kBFloat16);
      for (int64_t r = 0; r < rows; ++r) {
        const size_t i = missing[begin + static_cast<size_t>(r)];
        cache.put(key_of(texts[i]),
                  states[r].slice(0, 0, static_cast<int64_t>(ids[i].size())).clone());
      }
      if (bar) {
        (*bar)({.done = int64_t(end),
                .total = int64_t(missing.size()),
                .unit = "captions",
                .text = ""});
      }
    }
    cache.save();
  }
  train::CaptionStates captions;
  captions.offsets.assign(1, 0);
  std::vector<at::Tensor> parts;
  for (const std::string& text : texts) {
    parts.push_back(cache.find(key_of(text)));
    captions.offsets.push_back(captions.offsets.back() + parts.back().size(0));
  }
  captions.states = at::cat(parts);
  return captions;
}

// One training picture: how to draw it, and what it says.
struct Job {
  std::string key;  // of the picture, whatever its size
  std::function<image::Image()> draw;
  int width = 0, height = 0;  // of the latent's picture
  std::vector<std::vector<int32_t>> captions;
  int repeats = 1;
  bool masked = false;  // its alpha channel is a mask of the loss
};

// Shapes that scenes are composed in, in turn: mostly square.
std::vector<data::Bucket> scene_shapes(const train::TrainConfig& config) {
  const int side = static_cast<int>(config.resolution);
  std::vector<data::Bucket> shapes(4, {side, side});
  if (config.enable_bucket) {
    shapes.insert(shapes.end(), {{side * 3 / 4, side * 5 / 4}, {side * 5 / 4, side * 3 / 4}});
  }
  return shapes;
}

std::vector<data::Bucket> picture_buckets(const train::TrainConfig& config) {
  const int side = static_cast<int>(config.resolution);
  if (!config.enable_bucket) return {{side, side}};
  data::BucketOptions options;
  options.resolution_px = side;
  options.min_side_px = side / 2;
  options.max_side_px = side * 2;
  options.step_px = static_cast<int>(config.bucket_reso_steps);
  return data::make_buckets(options);
}

std::vector<Job> make_jobs(const train::TrainConfig& config, const TrainingData& data,
                           data::Report& report, CaptionBook& book) {
  const std::vector<data::Item>& items = data.items;
  const auto numbers = [&](const std::vector<std::string>& texts) {
    std::vector<int32_t> list;
    for (const std::string& t : texts) list.push_back(book.number_of(t));
    return list;
  };
  std::vector<Job> jobs;
  const std::vector<data::Bucket> buckets = picture_buckets(config);
  for (size_t i = 0; i < items.size(); ++i) {
    const data::Item& item = items[i];
    const data::Bucket b = buckets[data::assign_bucket(buckets, item.width, item.height)];
    jobs.push_back({data.contents[i],
                    [&item, &report] {
                      auto picture = data::try_load_image(item, report);
                      return picture ? std::move(*picture) : image::Image();
                    },
                    b.width,
                    b.height,
                    {numbers(item.captions_en), numbers(item.captions_zh)},
                    item.repeats,
                    config.alpha_mask && item.has_alpha});
  }
  const std::vector<data::Bucket> shapes = scene_shapes(config);
  const std::string scene_mark = data.index_hash + " ";  // scenes depend on all the items
  for (size_t shape = 0; shape < shapes.size() && config.scene_count > 0; ++shape) {
    data::SceneOptions options;
    options.width_px = shapes[shape].width;
    options.height_px = shapes[shape].height;
    const auto scenes = std::make_shared<data::SceneBook>(items, options);
    for (size_t i = shape; i < static_cast<size_t>(config.scene_count); i += shapes.size()) {
      const auto plan = std::make_shared<data::ScenePlan>(
          scenes->training_scene(static_cast<uint64_t>(config.seed), i));
      jobs.push_back({"scene " + scene_mark + std::to_string(config.seed) + " " + std::to_string(i),
                      [plan, &items] {
                        return data::draw_scene(
                                   *plan,
                                   [&](size_t item) { return data::load_image(items[item]); })
                            .picture;
                      },
                      options.width_px,
                      options.height_px,
                      {numbers(plan->captions_en), numbers(plan->captions_zh)}});
    }
  }
  return jobs;
}

// Pictures of one size waiting for the encoder.
class EncodeQueue {
 public:
  EncodeQueue(const pipeline::LatentCodec& codec, train::TensorCache& cache)
      : codec_(codec), cache_(cache) {}

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
    const at::Tensor z = codec_.encode(at::stack(p.pictures), {}).mean;
    for (size_t i = 0; i < p.keys.size(); ++i) {
      cache_.put(p.keys[i], z[static_cast<int64_t>(i)].to(at::kBFloat16));
    }
    p = {};
  }

  const pipeline::LatentCodec& codec_;
  train::TensorCache& cache_;
  std::map<std::pair<int, int>, Pending> pending_;
};

// How opaque each latent pixel's part of a picture is, [1,h,w] bf16.
at::Tensor loss_mask(const image::Image& picture, const data::Bucket& size, int64_t downscale) {
  const image::Image grey = image::alpha_of(picture);
  const at::Tensor pixels =
      tensors::pixels_of(data::render_picture(grey, size.width, size.height), 0.0, 1.0);
  return at::adaptive_avg_pool2d(pixels.slice(1, 0, 1),
                                 {size.height / downscale, size.width / downscale})[0]
      .to(at::kBFloat16);
}

// Nothing if stopped.
std::optional<std::vector<train::LatentItem>> latent_items(const train::TrainConfig& config,
                                                           const pipeline::LatentCodec& codec,
                                                           const std::vector<Job>& jobs,
                                                           train::TensorCache& cache,
                                                           const Stop& stop, ProgressBar* bar) {
  const int small = static_cast<int>(config.latent_crop * codec.downscale);
  const auto key_of = [](const Job& job, int width, int height) {
    return std::to_string(width) + "x" + std::to_string(height) + " " + job.key +
           (job.masked ? " without alpha" : "");
  };
  const auto mask_key = [](const std::string& key) { return key + ", mask"; };
  EncodeQueue queue(codec, cache);
  int64_t done = 0;
  for (const Job& job : jobs) {
    std::vector<data::Bucket> sizes = {{job.width, job.height}};
    if (small > 0) sizes.push_back({small, small});
    image::Image picture;
    bool drawn = false;
    for (const data::Bucket& size : sizes) {
      const std::string key = key_of(job, size.width, size.height);
      if (cache.find(key).defined()) continue;
      if (!drawn && stop && stop()) {
        queue.flush();
        stopped(stop, "latents", size_t(done), jobs.size(), cache, bar);
        return std::nullopt;
      }
      if (!drawn) picture = job.draw();
      drawn = true;
      if (picture.empty()) continue;
      if (!job.masked) {
        queue.add(key, data::render_picture(picture, size.width, size.height));
        continue;
      }
      const image::Image opaque = image::without_alpha(picture);
      queue.add(key, data::render_picture(opaque, size.width, size.height));
      cache.put(mask_key(key), loss_mask(picture, size, codec.downscale));
    }
    ++done;
    if (bar && drawn) {
      (*bar)({.done = done, .total = int64_t(jobs.size()), .unit = "pictures", .text = ""});
    }
  }
  queue.flush();
  cache.save();
  std::vector<train::LatentItem> items;
  for (const Job& job : jobs) {
    const at::Tensor latent = cache.find(key_of(job, job.width, job.height));
    if (!latent.defined()) continue;
    train::LatentItem& item = items.emplace_back();
    item.latent = latent;
    if (small > 0) item.small_latent = cache.find(key_of(job, small, small));
    if (job.masked) {
      item.mask = cache.find(mask_key(key_of(job, job.width, job.height)));
      if (small > 0) item.small_mask = cache.find(mask_key(key_of(job, small, small)));
    }
    item.captions = job.captions;
    item.repeats = job.repeats;
  }
  return items;
}

// Of an item's own pixels, in bytes.
image::Image picture_of(const pipeline::LatentCodec& codec, const train::LatentItem& item) {
  return tensors::picture_of(codec.decode(item.latent.to(at::kFloat).unsqueeze(0), {})[0]);
}

// Canny's edges beside every latent.
void add_controls(const pipeline::LatentCodec& codec, train::LatentSet& set) {
  for (train::LatentItem& item : set.items) {
    const image::Image edges = image::canny(picture_of(codec, item));
    const at::Tensor hint = tensors::pixels_of(edges, 0.0, 1.0);
    item.control = nn::control_channels(hint, codec.downscale)[0].to(at::kBFloat16);
  }
}

// What the image encoder sees of every item.
void add_pictures(const train::TrainConfig& config, const pipeline::LatentCodec& codec,
                  train::LatentSet& set) {
  const auto encoder = nn::ClipVisionConfig::from_json(
      io::read_json_file(config.image_encoder_config, "image_encoder_config"));
  for (train::LatentItem& item : set.items) {
    const at::Tensor pixels = tensors::pixels_of(picture_of(codec, item), 0.0, 1.0);
    item.picture = nn::clip_pixels(pixels, encoder.image_size)[0].to(at::kBFloat16);
  }
}

}  // namespace

CacheSources open_cache_sources(const train::TrainConfig& config) {
  const std::string vae = config.model_dir + "/vae";
  pipeline::LoadOptions options;
  options.dtype = "f32";
  CacheSources sources{training_data(config), pipeline::open_latent_codec(vae, options), ""};
  const bool reads_pictures = !config.image_encoder_config.empty();
  if ((reads_pictures || !config.control.empty()) &&
      !nn::PixelSpace::is_config(io::read_json_file(vae + "/config.json", "autoencoder"))) {
    throw bad_input("model_dir '" + config.model_dir + "'",
                    "a vae/config.json of PixelSpace, for `control` and `image_encoder_config`",
                    "an autoencoder");
  }
  if (!reads_pictures) {
    sources.text_encoder =
        io::sha256_of_files({config.model_dir + "/text_encoder/model.safetensors",
                             config.model_dir + "/text_encoder/config.json",
                             config.model_dir + "/tokenizer/tokenizer.json"});
  }
  return sources;
}

std::string conditioning_hash(const CacheSources& sources) {
  return sha256_hex(sources.text_encoder + " " + sources.codec.space.text());
}

std::shared_ptr<train::LatentSet> latent_set_for(const train::TrainConfig& config,
                                                 const CacheSources& sources, bool quiet,
                                                 const Stop& stop) {
  const at::NoGradGuard no_grad;
  const pipeline::LatentCodec& codec = sources.codec;
  data::Report report;
  CaptionBook book;
  const std::vector<Job> jobs = make_jobs(config, sources.data, report, book);
  for (const Job& job : jobs) {
    train::check_latent_crop(config, job.height / codec.downscale, job.width / codec.downscale);
  }
  const auto bar = [&](const char* label) {
    return std::unique_ptr<ProgressBar>(quiet ? nullptr : new ProgressBar(label));
  };
  std::filesystem::create_directories(config.cache_dir);
  auto set = std::make_shared<train::LatentSet>();
  const bool reads_pictures = !config.image_encoder_config.empty();
  if (!reads_pictures) {
    train::TensorCache captions(config.cache_dir + "/captions.safetensors", sources.text_encoder);
    auto states = caption_states(config.model_dir, book.texts(), config.max_token_length, captions,
                                 stop, bar("captions").get());
    if (!states) return nullptr;
    set->captions = std::move(*states);
  }
  train::TensorCache latents(config.cache_dir + "/latents.safetensors", codec.space.text());
  auto latent_list = latent_items(config, codec, jobs, latents, stop, bar("latents").get());
  if (!report.is_clean()) std::fprintf(stderr, "data: %s\n", report.text().c_str());
  if (!latent_list) return nullptr;
  set->items = std::move(*latent_list);
  if (!config.control.empty()) add_controls(codec, *set);
  if (reads_pictures) add_pictures(config, codec, *set);
  return set;
}

}  // namespace pangu::app
