#include "app/latent_cache.h"

#include <torch/torch.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "app/training.h"
#include "app/training_pictures.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "data/buckets.h"
#include "data/scenes.h"
#include "nn/autoencoder_kl.h"
#include "nn/text_encoder.h"
#include "nn/weights.h"
#include "text/unigram.h"

namespace pangu::app {
namespace {

constexpr int64_t kEncodeBatch = 16;
constexpr int64_t kCaptionBatch = 32;

struct Encoders {
  std::shared_ptr<nn::AutoencoderKL> vae;
  std::unique_ptr<nn::TextEncoder> text;
  std::unique_ptr<text::UnigramTokenizer> tokenizer;
};

Encoders load_encoders(const std::string& folder) {
  Encoders e;
  const auto json = nlohmann::json::parse(
      read_text_file(folder + "/vae/config.json", "autoencoder config"), nullptr, false);
  if (json.is_discarded()) throw bad_input("'" + folder + "/vae/config.json'", "JSON");
  e.vae = std::make_shared<nn::AutoencoderKL>(nn::AutoencoderKLConfig::from_json(json));
  nn::load_into(*e.vae, nn::load_safetensors(folder + "/vae/diffusion_pytorch_model.safetensors"));
  e.vae->eval();
  e.text = std::make_unique<nn::TextEncoder>(
      nn::TextEncoder::from_folder(folder + "/text_encoder"));
  e.tokenizer = std::make_unique<text::UnigramTokenizer>(
      text::UnigramTokenizer::from_file(folder + "/tokenizer/tokenizer.json"));
  return e;
}

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

train::CaptionStates encode_captions(const Encoders& e, const std::vector<std::string>& texts,
                                     size_t max_tokens, ProgressBar* bar) {
  // Captions of like length share a batch, so that little is padding.
  std::vector<std::vector<int32_t>> ids;
  for (const std::string& t : texts) {
    ids.push_back(e.tokenizer->encode(e.text->config().prompt_prefix + t, max_tokens));
  }
  std::vector<size_t> order(texts.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return ids[a].size() < ids[b].size(); });
  train::CaptionStates states;
  states.offsets.assign(1, 0);
  for (const auto& row : ids) {
    states.offsets.push_back(states.offsets.back() + static_cast<int64_t>(row.size()));
  }
  for (size_t begin = 0; begin < order.size(); begin += kCaptionBatch) {
    const size_t end = std::min(order.size(), begin + kCaptionBatch);
    const int64_t rows = static_cast<int64_t>(end - begin);
    const int64_t length = static_cast<int64_t>(ids[order[end - 1]].size());
    at::Tensor batch = at::full({rows, length}, e.tokenizer->pad(), at::kLong);
    at::Tensor mask = at::zeros({rows, length}, at::kLong);
    for (int64_t r = 0; r < rows; ++r) {
      const auto& row = ids[order[begin + static_cast<size_t>(r)]];
      for (size_t k = 0; k < row.size(); ++k) {
        batch[r][static_cast<int64_t>(k)] = row[k];
        mask[r][static_cast<int64_t>(k)] = 1;
      }
    }
    const at::Tensor encoded = e.text->encode(batch, mask);
    if (!states.states.defined()) {
      states.states = at::empty({states.offsets.back(), encoded.size(2)}, at::kBFloat16);
    }
    for (int64_t r = 0; r < rows; ++r) {
      const size_t i = order[begin + static_cast<size_t>(r)];
      states.states.slice(0, states.offsets[i], states.offsets[i + 1])
          .copy_(encoded[r].slice(0, 0, static_cast<int64_t>(ids[i].size())));
    }
    if (bar) (*bar)({.done = static_cast<int64_t>(end), .total = int64_t(order.size()),
                     .unit = "captions", .text = ""});
  }
  return states;
}

at::Tensor pixels_of(const image::Image& rgb) {
  const at::Tensor bytes =
      at::from_blob(const_cast<uint8_t*>(rgb.pixels.data()), {rgb.height, rgb.width, 3}, at::kByte);
  return bytes.permute({2, 0, 1}).to(at::kFloat).div_(127.5f).sub_(1.0f);
}

// Latents of equally large pictures, [C,h,w] bf16 each, scaled.
std::vector<at::Tensor> encode_pictures(nn::AutoencoderKL& vae,
                                        const std::vector<at::Tensor>& pictures) {
  std::vector<at::Tensor> latents;
  const at::Tensor z = vae.scale(
      vae.encode(at::stack(pictures).contiguous(at::MemoryFormat::ChannelsLast)).first);
  for (int64_t i = 0; i < z.size(0); ++i) latents.push_back(z[i].to(at::kBFloat16).contiguous());
  return latents;
}

// One training picture: how to draw it, and what it says.
struct Job {
  std::function<image::Image()> draw;
  int width = 0, height = 0;  // of the latent's picture
  std::vector<std::vector<int32_t>> captions;
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

std::vector<Job> make_jobs(const train::TrainConfig& config, const std::vector<data::Item>& items,
                           data::Report& report, CaptionBook& book) {
  const auto numbers = [&](const std::vector<std::string>& texts) {
    std::vector<int32_t> list;
    for (const std::string& t : texts) list.push_back(book.number_of(t));
    return list;
  };
  std::vector<Job> jobs;
  const std::vector<data::Bucket> buckets = picture_buckets(config);
  for (const data::Item& item : items) {
    const data::Bucket b = buckets[data::assign_bucket(buckets, item.width, item.height)];
    jobs.push_back({[&item, &report] {
                      auto picture = data::try_load_image(item, report);
                      return picture ? std::move(*picture) : image::Image();
                    },
                    b.width, b.height,
                    {numbers(item.captions_en), numbers(item.captions_zh)}});
  }
  const std::vector<data::Bucket> shapes = scene_shapes(config);
  for (size_t shape = 0; shape < shapes.size() && config.scene_count > 0; ++shape) {
    data::SceneOptions options;
    options.width_px = shapes[shape].width;
    options.height_px = shapes[shape].height;
    const auto scenes = std::make_shared<data::SceneBook>(items, options);
    for (size_t i = shape; i < static_cast<size_t>(config.scene_count); i += shapes.size()) {
      const auto plan = std::make_shared<data::ScenePlan>(
          scenes->training_scene(static_cast<uint64_t>(config.seed), i));
      jobs.push_back({[plan, &items] {
                        return data::draw_scene(*plan, [&](size_t item) {
                                 return data::load_image(items[item]);
                               }).picture;
                      },
                      options.width_px, options.height_px,
                      {numbers(plan->captions_en), numbers(plan->captions_zh)}});
    }
  }
  return jobs;
}

std::vector<train::LatentItem> encode_jobs(const train::TrainConfig& config,
                                           nn::AutoencoderKL& vae, const std::vector<Job>& jobs,
                                           ProgressBar* bar) {
  const int small_side = static_cast<int>(config.latent_crop) * vae.config().downscale();
  struct Pending {
    std::vector<at::Tensor> pictures, small;
    std::vector<const Job*> jobs;
  };
  std::map<std::pair<int, int>, Pending> pending;
  std::vector<train::LatentItem> items;
  const auto flush = [&](Pending& p) {
    if (p.jobs.empty()) return;
    const auto latents = encode_pictures(vae, p.pictures);
    const auto small = p.small.empty() ? latents : encode_pictures(vae, p.small);
    for (size_t i = 0; i < p.jobs.size(); ++i) {
      items.push_back(
          {latents[i], p.small.empty() ? at::Tensor() : small[i], p.jobs[i]->captions});
    }
    p = {};
  };
  int64_t done = 0;
  for (const Job& job : jobs) {
    const image::Image picture = job.draw();
    ++done;
    if (picture.empty()) continue;
    Pending& p = pending[{job.width, job.height}];
    p.pictures.push_back(pixels_of(data::render_picture(picture, job.width, job.height)));
    if (small_side > 0) {
      p.small.push_back(pixels_of(data::render_picture(picture, small_side, small_side)));
    }
    p.jobs.push_back(&job);
    if (static_cast<int64_t>(p.jobs.size()) == kEncodeBatch) {
      flush(p);
      if (bar) {
        (*bar)({.done = done, .total = int64_t(jobs.size()), .unit = "pictures", .text = ""});
      }
    }
  }
  for (auto& [size, p] : pending) flush(p);
  return items;
}

std::string model_bytes(const train::TrainConfig& config, std::initializer_list<const char*> files) {
  std::string bytes;
  for (const char* file : files) bytes += read_text_file(config.model_dir + file, "model_dir");
  return bytes;
}

}  // namespace

std::shared_ptr<train::LatentSet> latent_set_for(const train::TrainConfig& config, bool quiet) {
  const at::NoGradGuard no_grad;
  const std::vector<data::Item> items = training_items(config);
  data::Report report;
  CaptionBook book;
  const std::vector<Job> jobs = make_jobs(config, items, report, book);
  const auto bar = [&](const char* label) {
    return std::unique_ptr<ProgressBar>(quiet ? nullptr : new ProgressBar(label));
  };
  std::filesystem::create_directories(config.cache_dir);
  auto set = std::make_shared<train::LatentSet>();
  Encoders e;

  std::string texts = std::to_string(config.max_token_length);
  for (const std::string& t : book.texts()) texts += "\n" + t;
  const std::string caption_mark =
      sha256_hex(texts + model_bytes(config, {"/text_encoder/model.safetensors",
                                              "/text_encoder/config.json",
                                              "/tokenizer/tokenizer.json"}));
  const std::string caption_path = config.cache_dir + "/captions.safetensors";
  if (auto cached = train::load_captions(caption_path, caption_mark)) {
    set->captions = std::move(*cached);
  } else {
    e = load_encoders(config.model_dir);
    set->captions = encode_captions(e, book.texts(), static_cast<size_t>(config.max_token_length),
                                    bar("captions").get());
    train::save_captions(caption_path, set->captions, caption_mark);
  }

  std::string pictures = std::to_string(config.seed) + "," + std::to_string(config.latent_crop);
  for (const Job& job : jobs) {
    pictures += "\n" + std::to_string(job.width) + "x" + std::to_string(job.height);
    for (const auto& language : job.captions) {
      for (const int32_t c : language) pictures += "," + std::to_string(c);
    }
  }
  for (const data::Item& item : items) pictures += "\n" + item.id;
  const std::string latent_mark =
      sha256_hex(pictures + caption_mark +
                 model_bytes(config, {"/vae/diffusion_pytorch_model.safetensors",
                                      "/vae/config.json"}));
  const std::string latent_path = config.cache_dir + "/latents.safetensors";
  if (auto cached = train::load_latents(latent_path, latent_mark)) {
    set->items = std::move(*cached);
  } else {
    if (!e.vae) e = load_encoders(config.model_dir);
    set->items = encode_jobs(config, *e.vae, jobs, bar("latents").get());
    if (report.skipped > 0) std::fprintf(stderr, "data: %s\n", report.text().c_str());
    train::save_latents(latent_path, set->items, latent_mark);
  }
  return set;
}

}  // namespace pangu::app
