#include "train/autoencoder_loss.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/error.h"
#include "train/ahead.h"
#include "train/thread_count.h"

namespace pangu::train {
namespace {

constexpr uint64_t kSampleStream = 0x766165;     // crops and backgrounds of sample i: stream + i
constexpr uint64_t kPosteriorStream = 0x7a7a7a;  // posterior noise
constexpr uint64_t kLatentNoiseStream = 0x6c6e;  // latent noise; its level for sample i: stream + i
constexpr uint64_t kBatchStream = 0x626174;      // choices that hold for a whole batch
constexpr int64_t kPerceptualWindow = 64;        // px a side of the window VGG looks at
constexpr int64_t kSampleBatchesAhead = 2;       // that are read beside a step
constexpr int kSampleReaders = 2;                // threads that do it

struct AutoencoderLoss {
  TrainConfig config;
  std::vector<AutoencoderCalls> replicas;
  PerceptualFeatures perceptual;
  PicturePool pictures;
  std::shared_ptr<DataWait> wait;
  // By the number of the sample in the whole run.
  Ahead<int64_t, at::Tensor> ahead{[this](const int64_t& index) { return sample(index); },
                                   kSampleReaders, [] { use_threads_here(1); }};

  // [3,R,R] in [-1,1]
  at::Tensor sample(int64_t index) const {
    const at::NoGradGuard no_grad;
    Rng rng(static_cast<uint64_t>(config.seed),
            kSampleStream + (static_cast<uint64_t>(index) << 24));
    const at::Tensor picture =
        picture_at(pictures, epoch_sample(static_cast<uint64_t>(config.seed),
                                          static_cast<int64_t>(pictures.shown.size()), index));
    const int64_t side = config.resolution, h = picture.size(0), w = picture.size(1);
    if (std::min(h, w) < side) {
      throw bad_input("a picture of the training data",
                      "at least resolution = " + std::to_string(side) + " px a side",
                      std::to_string(w) + " x " + std::to_string(h));
    }
    double colour[3];
    draw_background(rng, config.background_probability, colour);
    if (rng.uniform() < config.whole_picture_probability) {
      const at::Tensor whole = over_colour(picture, colour).unsqueeze(0);
      return at::adaptive_avg_pool2d(whole, {side, side}).squeeze(0);
    }
    const int64_t y = static_cast<int64_t>(rng.below(static_cast<uint64_t>(h - side + 1)));
    const int64_t left = static_cast<int64_t>(rng.below(static_cast<uint64_t>(w - side + 1)));
    return over_colour(picture.slice(0, y, y + side).slice(1, left, left + side), colour);
  }

  // [n,3,R,R] of samples [first, first + count) of a batch.
  at::Tensor take(const Slice& slice) {
    const int64_t size = config.train_batch_size, first = slice.batch * size + slice.first;
    const auto asked = std::chrono::steady_clock::now();
    std::vector<at::Tensor> rows;
    for (int64_t i = 0; i < slice.count; ++i) rows.push_back(ahead.take(first + i));
    if (wait) wait->add(std::chrono::steady_clock::now() - asked);
    ahead.forget([&](int64_t index) {
      const int64_t batch = index / size;
      return batch < slice.batch || batch > slice.batch + 2 * kSampleBatchesAhead;
    });
    for (int64_t next = 1; next <= kSampleBatchesAhead; ++next) {
      for (int64_t i = 0; i < slice.count; ++i) ahead.ask(first + next * size + i);
    }
    return at::stack(rows);
  }

  double latent_noise_level(int64_t index) const {
    Rng rng(static_cast<uint64_t>(config.seed),
            kLatentNoiseStream + (static_cast<uint64_t>(index + 1) << 24));
    return std::abs(rng.normal()) * config.latent_noise;
  }

  at::Tensor operator()(const Slice& slice) {
    const int64_t base = slice.batch * config.train_batch_size + slice.first;
    const auto dtype = config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
    at::Tensor image =
        take(slice).to(at::Device(config.device)).contiguous(at::MemoryFormat::ChannelsLast);

    const AutoencoderCalls& net = replicas[static_cast<size_t>(slice.replica)];
    at::Tensor mean, logvar;
    {
      const at::AutoGradMode grad(config.train_encoder);
      std::tie(mean, logvar) = net.encode(image.to(dtype));
    }
    const auto normal = [&](uint64_t stream) {
      at::Tensor noise = at::empty(mean.sizes());
      fill_normal(static_cast<uint64_t>(config.seed), stream,
                  static_cast<uint64_t>(base * mean[0].numel()), noise.data_ptr<float>(),
                  static_cast<size_t>(noise.numel()));
      return noise;
    };
    at::Tensor z = mean + (0.5 * logvar).exp() * normal(kPosteriorStream).to(mean.options());
    if (config.latent_noise > 0) {
      const at::Tensor noise = normal(kLatentNoiseStream);
      for (int64_t i = 0; i < slice.count; ++i) noise[i].mul_(latent_noise_level(base + i));
      z = z + noise.to(z.options()) * net.latent_unit;
    }

    Rng batch_rng(static_cast<uint64_t>(config.seed),
                  kBatchStream + (static_cast<uint64_t>(slice.batch) << 24));
    if (batch_rng.uniform() < config.equivariance_probability) {
      z = at::avg_pool2d(z, {2, 2});
      image = at::avg_pool2d(image, {2, 2});
    }
    const at::Tensor decoded = net.decode(z).to(at::kFloat);
    at::Tensor loss = (decoded - image).abs().mean() * double(slice.count);
    if (perceptual && config.perceptual_weight > 0) {
      const int64_t window = std::min(kPerceptualWindow, image.size(2));
      const uint64_t room = static_cast<uint64_t>(image.size(2) - window + 1);
      const int64_t y = static_cast<int64_t>(batch_rng.below(room));
      const int64_t x = static_cast<int64_t>(batch_rng.below(room));
      const auto look = [&](const at::Tensor& t) {
        return perceptual(t.slice(2, y, y + window).slice(3, x, x + window).to(dtype));
      };
      std::vector<at::Tensor> wanted;
      {
        const at::NoGradGuard no_grad;
        wanted = look(image);
      }
      loss = loss + perceptual_distance(look(decoded), wanted).sum() * config.perceptual_weight;
    }
    if (!config.train_encoder) return loss;
    const at::Tensor mu = mean.to(at::kFloat), lv = logvar.to(at::kFloat);
    const at::Tensor kl = 0.5 * (mu.square() + lv.exp() - 1 - lv);
    return loss + kl.mean() * (config.kl_weight * double(slice.count));
  }
};

}  // namespace

void check_autoencoder_sizes(const TrainConfig& config, int64_t downscale, int64_t least_seen_px) {
  const bool halves = config.equivariance_probability > 0;
  const int64_t multiple = downscale * (halves ? 2 : 1);
  const std::string found = std::to_string(config.resolution);
  if (config.resolution % multiple != 0 || config.resolution < multiple) {
    throw bad_input("resolution",
                    "a multiple of " + std::to_string(multiple) + " px, which have whole latents" +
                        (halves ? ", also halved" : ""),
                    found, halves ? "equivariance_probability = 0 halves no latents" : "");
  }
  const int64_t least = least_seen_px * (halves ? 2 : 1);
  if (config.resolution >= least) return;
  throw bad_input("resolution", "at least " + std::to_string(least) + " px for perceptual_weights",
                  found, "perceptual_weight = 0 asks for no features");
}

LossFunction autoencoder_loss(const TrainConfig& config, std::vector<AutoencoderCalls> replicas,
                              PerceptualFeatures perceptual, PicturePool pictures,
                              std::shared_ptr<DataWait> wait) {
  if (pictures.shown.empty()) throw bad_input("training data", "at least one picture", "none");
  for (const AutoencoderCalls& one : replicas) check_autoencoder_sizes(config, one.downscale, 0);
  const std::shared_ptr<AutoencoderLoss> loss(new AutoencoderLoss{
      config, std::move(replicas), std::move(perceptual), std::move(pictures), std::move(wait)});
  return [loss](const Slice& slice) { return (*loss)(slice); };
}

at::Tensor perceptual_distance(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  at::Tensor sum;
  for (size_t i = 0; i < a.size(); ++i) {
    const auto unit = [](const at::Tensor& t) {
      const at::Tensor f = t.to(at::kFloat);
      return f * at::rsqrt(f.square().sum(1, /*keepdim=*/true) + 1e-6);
    };
    const at::Tensor d = (unit(a[i]) - unit(b[i])).square().sum(1).mean({1, 2});
    sum = sum.defined() ? sum + d : d;
  }
  return sum;
}

}  // namespace pangu::train
