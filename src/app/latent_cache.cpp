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

std::string fingerprint_of(const train::TrainConfig& config, const std::vector<data::Item>& items) {
  std::string text = std::to_string(config.resolution) + "," + std::to_string(config.latent_crop) +
                     "," + std::to_string(config.scene_count) + "," +
                     std::to_string(config.enable_bucket) + "," +
                     std::to_string(config.bucket_reso_steps) + "," +
                     std::to_string(config.max_token_length);
  for (const data::Item& item : items) {
    text += "\n" + item.id;
    for (const auto* captions : {&item.captions_en, &item.captions_zh}) {
      for (const std::string& c : *captions) text += "|" + c;
    }
  }
  for (const char* file : {"/vae/diffusion_pytorch_model.safetensors", "/vae/config.json",
                           "/text_encoder/model.safetensors", "/tokenizer/tokenizer.json"}) {
    text += read_text_file(config.model_dir + file, "model_dir");
  }
  return sha256_hex(text);
}

}  // namespace

std::shared_ptr<train::LatentSet> latent_set_for(const train::TrainConfig& config, bool quiet) {
  const std::vector<data::Item> items = training_items(config);
  const std::string path = config.cache_dir + "/latents.safetensors";
  const std::string fingerprint = fingerprint_of(config, items);
  if (auto cached = train::load_latent_set(path, fingerprint)) return {std::move(cached)};

  const at::NoGradGuard no_grad;
  const Encoders e = load_encoders(config.model_dir);
  const int64_t downscale = e.vae->config().downscale();
  auto set = std::make_shared<train::LatentSet>();
  CaptionBook book;
  data::Report report;

  std::vector<data::Bucket> buckets = {{int(config.resolution), int(config.resolution)}};
  if (config.enable_bucket) {
    data::BucketOptions options;
    options.resolution_px = static_cast<int>(config.resolution);
    options.min_side_px = static_cast<int>(config.resolution / 2);
    options.max_side_px = static_cast<int>(config.resolution * 2);
    options.step_px = static_cast<int>(config.bucket_reso_steps);
    buckets = data::make_buckets(options);
  }
  struct Pending {
    std::vector<at::Tensor> pictures, small;
    std::vector<size_t> items;
  };
  std::map<std::pair<int, int>, Pending> pending;
  const auto flush = [&](Pending& p) {
    if (p.pictures.empty()) return;
    const auto latents = encode_pictures(*e.vae, p.pictures);
    std::vector<at::Tensor> small;
    if (!p.small.empty()) small = encode_pictures(*e.vae, p.small);
    for (size_t i = 0; i < latents.size(); ++i) {
      set->items[p.items[i]].latent = latents[i];
      if (!small.empty()) set->items[p.items[i]].small_latent = small[i];
    }
    p = {};
  };
  const auto add = [&](const image::Image& picture, const std::vector<std::string>& en,
                       const std::vector<std::string>& zh) {
    const auto& bucket = buckets[data::assign_bucket(buckets, picture.width, picture.height)];
    train::LatentItem item;
    for (const auto* captions : {&en, &zh}) {
      item.captions.emplace_back();
      for (const std::string& c : *captions) item.captions.back().push_back(book.number_of(c));
    }
    Pending& p = pending[{bucket.width, bucket.height}];
    p.pictures.push_back(pixels_of(data::render_picture(picture, bucket.width, bucket.height)));
    if (config.latent_crop > 0) {
      const int side = static_cast<int>(config.latent_crop * downscale);
      p.small.push_back(pixels_of(data::render_picture(picture, side, side)));
    }
    p.items.push_back(set->items.size());
    set->items.push_back(std::move(item));
    if (static_cast<int64_t>(p.pictures.size()) == kEncodeBatch) flush(p);
  };

  {
    std::unique_ptr<ProgressBar> bar(quiet ? nullptr : new ProgressBar("latents"));
    int64_t done = 0;
    for (const data::Item& item : items) {
      if (const auto picture = data::try_load_image(item, report)) {
        add(*picture, item.captions_en, item.captions_zh);
      }
      if (bar) (*bar)({.done = ++done, .total = int64_t(items.size()), .unit = "pictures", .text = ""});
    }
    for (auto& [size, p] : pending) flush(p);
  }
  if (report.skipped > 0) std::fprintf(stderr, "data: %s\n", report.text().c_str());
  {
    std::unique_ptr<ProgressBar> bar(quiet ? nullptr : new ProgressBar("captions"));
    set->captions = encode_captions(e, book.texts(), static_cast<size_t>(config.max_token_length),
                                    bar.get());
  }
  std::filesystem::create_directories(config.cache_dir);
  train::save_latent_set(path, *set, fingerprint);
  return set;
}

}  // namespace pangu::app
