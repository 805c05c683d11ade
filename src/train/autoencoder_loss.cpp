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
constexpr uint64_t kProbeStream = 0x676164;      // noise of the discriminator's penalty
constexpr int64_t kPerceptualWindow = 64;        // px a side of the window VGG looks at
constexpr int64_t kJudgedWindow = 128;           // with a discriminator behind it
constexpr int64_t kSampleBatchesAhead = 2;       // that are read beside a step
constexpr int kSampleReaders = 2;                // threads that do it

// A square of pixels, the same in every picture of a batch.
struct Window {
  int64_t y, x, side;

  Window(Rng& rng, int64_t picture_side, int64_t most) : side(std::min(most, picture_side)) {
    const auto room = static_cast<uint64_t>(picture_side - side + 1);
    y = static_cast<int64_t>(rng.below(room));
    x = static_cast<int64_t>(rng.below(room));
  }
  at::Tensor of(const at::Tensor& images) const {
    return images.slice(2, y, y + side).slice(3, x, x + side);
  }
};

struct AutoencoderLoss {
  TrainConfig config;
  std::vector<AutoencoderCalls> replicas;
  PerceptualFeatures perceptual;
  PicturePool pictures;
  std::shared_ptr<DataWait> wait;
  std::shared_ptr<Gauges> gauges;
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

  void report(const char* name, const at::Tensor& sum, int64_t count) const {
    if (gauges) gauges->add(name, sum.item<double>(), count);
  }

  // N(0,1) in the type and place of `like` [n,...], whose first row is sample `first` of the run.
  at::Tensor normal(uint64_t stream, int64_t first, const at::Tensor& like) const {
    at::Tensor noise = at::empty(like.sizes());
    fill_normal(static_cast<uint64_t>(config.seed), stream,
                static_cast<uint64_t>(first * like[0].numel()), noise.data_ptr<float>(),
                static_cast<size_t>(noise.numel()));
    return noise.to(like.options());
  }

  int64_t first_sample(const Slice& slice) const {
    return slice.batch * config.train_batch_size + slice.first;
  }

  // What is decoded, of the posterior of a slice's pictures.
  at::Tensor latents(const AutoencoderCalls& net, const Slice& slice, const at::Tensor& mean,
                     const at::Tensor& logvar) const {
    const int64_t first = first_sample(slice);
    at::Tensor z = mean + (0.5 * logvar).exp() * normal(kPosteriorStream, first, mean);
    if (config.latent_noise > 0) {
      const at::Tensor noise = normal(kLatentNoiseStream, first, mean.to(at::kFloat));
      for (int64_t i = 0; i < slice.count; ++i) noise[i].mul_(latent_noise_level(first + i));
      z = z + noise.to(z.options()) * net.latent_unit;
    }
    return z;
  }

  // The sum over pictures of what the decoder lowers of their difference; adds what the
  // discriminator, if there is one, lowers for its own part.
  at::Tensor difference(const AutoencoderCalls& net, const Slice& slice, const at::Tensor& drawn,
                        const at::Tensor& image, Rng& batch_rng) const {
    const at::Tensor plain = (drawn - image).abs().mean() * double(image.size(0));
    const bool is_judged = net.discriminate && step_of(slice) >= config.discriminator_start;
    if (!perceptual || (config.perceptual_weight <= 0 && !is_judged)) return plain;
    const Window window(batch_rng, image.size(2), is_judged ? kJudgedWindow : kPerceptualWindow);
    const auto look = [&](const at::Tensor& t) { return perceptual(window.of(t).to(dtype())); };
    LayerFeatures wanted;
    {
      const at::NoGradGuard no_grad;
      wanted = look(image);
    }
    const LayerFeatures found = look(drawn);
    const at::Tensor sum =
        plain + perceptual_distance(found, wanted).sum() * config.perceptual_weight;
    return is_judged ? sum + judged(net, slice, scaled_pair(wanted, found)) : sum;
  }

  // What decoder and discriminator learn from each other; its value is the decoder's part.
  at::Tensor judged(const AutoencoderCalls& net, const Slice& slice,
                    const FeaturePair& pair) const {
    const DiscriminatorLoss found =
        discriminator_loss(net.discriminate, pair, [&](size_t layer, const at::Tensor& like) {
          return normal(kProbeStream + (uint64_t(layer) << 24), first_sample(slice), like);
        });
    report("discriminator_loss", found.telling, slice.count);
    at::Tensor loss = found.telling + found.penalty;
    loss = loss - loss.detach();
    if (step_of(slice) < config.adversarial_start) return loss;
    const at::Tensor decoders = decoder_loss(net.discriminate, pair);
    report("adversarial_loss", decoders, slice.count);
    return loss + decoders * config.adversarial_weight;
  }

  int64_t step_of(const Slice& slice) const {
    return slice.batch / config.gradient_accumulation_steps;
  }
  at::ScalarType dtype() const {
    return config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
  }

  at::Tensor operator()(const Slice& slice) {
    at::Tensor image =
        take(slice).to(at::Device(config.device)).contiguous(at::MemoryFormat::ChannelsLast);
    const AutoencoderCalls& net = replicas[static_cast<size_t>(slice.replica)];
    at::Tensor mean, logvar;
    {
      const at::AutoGradMode grad(config.train_encoder);
      std::tie(mean, logvar) = net.encode(image.to(dtype()));
    }
    at::Tensor z = latents(net, slice, mean, logvar);
    Rng batch_rng(static_cast<uint64_t>(config.seed),
                  kBatchStream + (static_cast<uint64_t>(slice.batch) << 24));
    if (batch_rng.uniform() < config.equivariance_probability) {
      z = at::avg_pool2d(z, {2, 2});
      image = at::avg_pool2d(image, {2, 2});
    }
    const at::Tensor decoded = net.decode(z).to(at::kFloat);
    const at::Tensor loss = difference(net, slice, decoded, image, batch_rng);
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
                              std::shared_ptr<DataWait> wait, std::shared_ptr<Gauges> gauges) {
  if (pictures.shown.empty()) throw bad_input("training data", "at least one picture", "none");
  for (const AutoencoderCalls& one : replicas) check_autoencoder_sizes(config, one.downscale, 0);
  const std::shared_ptr<AutoencoderLoss> loss(
      new AutoencoderLoss{config, std::move(replicas), std::move(perceptual), std::move(pictures),
                          std::move(wait), std::move(gauges)});
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
