#include "train/autoencoder_loss.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "core/error.h"
#include "train/picture_pool.h"

namespace pangu::train {
namespace {

constexpr uint64_t kSampleStream = 0x766165;     // crops and backgrounds of sample i: stream + i
constexpr uint64_t kPosteriorStream = 0x7a7a7a;  // posterior noise
constexpr uint64_t kLatentNoiseStream = 0x6c6e;  // latent noise; its level for sample i: stream + i
constexpr uint64_t kBatchStream = 0x626174;      // choices that hold for a whole batch
constexpr int64_t kPerceptualWindow = 64;        // px a side of the window VGG looks at

struct AutoencoderLoss {
  TrainConfig config;
  std::vector<AutoencoderCalls> replicas;
  PerceptualFeatures perceptual;
  std::vector<at::Tensor> pictures;

  AutoencoderLoss(const TrainConfig& c, std::vector<AutoencoderCalls> r, PerceptualFeatures p,
                  std::vector<at::Tensor> pics)
      : config(c), replicas(std::move(r)), perceptual(std::move(p)), pictures(std::move(pics)) {}

  // [3,R,R] in [-1,1]
  at::Tensor sample(int64_t index) {
    Rng rng(static_cast<uint64_t>(config.seed),
            kSampleStream + (static_cast<uint64_t>(index) << 24));
    const at::Tensor& picture = pictures[static_cast<size_t>(epoch_sample(
        static_cast<uint64_t>(config.seed), static_cast<int64_t>(pictures.size()), index))];
    double colour[3];
    draw_background(rng, config.background_probability, colour);
    const at::Tensor x = over_colour(picture, colour);
    const int64_t side = config.resolution, h = x.size(1), w = x.size(2);
    if (rng.uniform() < config.whole_picture_probability) {
      return at::adaptive_avg_pool2d(x.unsqueeze(0), {side, side}).squeeze(0);
    }
    const int64_t y = static_cast<int64_t>(rng.below(static_cast<uint64_t>(h - side + 1)));
    const int64_t left = static_cast<int64_t>(rng.below(static_cast<uint64_t>(w - side + 1)));
    return x.slice(1, y, y + side).slice(2, left, left + side);
  }

  double latent_noise_level(int64_t index) const {
    Rng rng(static_cast<uint64_t>(config.seed),
            kLatentNoiseStream + (static_cast<uint64_t>(index + 1) << 24));
    return std::abs(rng.normal()) * config.latent_noise;
  }

  at::Tensor operator()(const Slice& slice) {
    const int64_t base = slice.batch * config.train_batch_size + slice.first;
    std::vector<at::Tensor> rows;
    for (int64_t i = 0; i < slice.count; ++i) rows.push_back(sample(base + i));
    const auto dtype = config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
    at::Tensor image =
        at::stack(rows).to(at::Device(config.device)).contiguous(at::MemoryFormat::ChannelsLast);

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
                              PerceptualFeatures perceptual, std::vector<at::Tensor> pictures) {
  if (pictures.empty()) throw bad_input("training data", "at least one picture", "none");
  for (const AutoencoderCalls& one : replicas) check_autoencoder_sizes(config, one.downscale, 0);
  for (const at::Tensor& picture : pictures) {
    if (std::min(picture.size(0), picture.size(1)) >= config.resolution) continue;
    throw bad_input("a picture of the training data",
                    "at least resolution = " + std::to_string(config.resolution) + " px a side",
                    std::to_string(picture.size(1)) + " x " + std::to_string(picture.size(0)));
  }
  auto loss = std::make_shared<AutoencoderLoss>(config, std::move(replicas), std::move(perceptual),
                                                std::move(pictures));
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
