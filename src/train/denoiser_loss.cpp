#include "train/denoiser_loss.h"

#include <torch/types.h>

#include <algorithm>

#include "core/error.h"
#include "core/rng.h"

namespace pangu::train {
namespace {

// Streams of Philox, far enough apart that sample counters never meet.
constexpr double kLeastCrop = 0.8;  // of a side of what an image encoder sees
constexpr uint64_t kNoiseStream = 1ull << 56;
constexpr uint64_t kChoiceStream = 2ull << 56;
constexpr uint64_t kTimeStream = 3ull << 56;
constexpr uint64_t kOffsetStream = 4ull << 56;

at::Tensor normals(uint64_t seed, uint64_t stream, at::IntArrayRef shape) {
  at::Tensor t = at::empty(shape);
  fill_normal(seed, stream, 0, t.data_ptr<float>(), static_cast<size_t>(t.numel()));
  return t;
}

// A random part of a picture, most of it, at its own size: an embedding should tell what is seen,
// not where each pixel was.
at::Tensor cropped(const at::Tensor& picture, Rng& rng) {
  const int64_t side = picture.size(1);
  const auto part = static_cast<int64_t>(static_cast<double>(side) *
                                         (kLeastCrop + (1 - kLeastCrop) * rng.uniform()));
  const auto room = static_cast<uint64_t>(side - part + 1);
  const auto y = static_cast<int64_t>(rng.below(room)), x = static_cast<int64_t>(rng.below(room));
  const at::Tensor crop = picture.slice(1, y, y + part).slice(2, x, x + part).unsqueeze(0);
  return at::upsample_bilinear2d(crop.to(at::kFloat), {side, side}, false)[0];
}

struct DenoiserLoss {
  TrainConfig config;
  diffusion::Schedule schedule;
  diffusion::LossConfig loss_config;
  std::vector<DenoiserCall> replicas;
  std::shared_ptr<LatentSet> set;
  BatchOrder order;
  uint64_t seed;

  struct View {
    at::Tensor latent;  // [C,s,s]
    at::Tensor mask;    // [1,s,s], or undefined
  };

  // A crop, or the whole picture at the crop's size.
  View view_of(const LatentItem& item, Rng& rng) const {
    const int64_t side = config.latent_crop;
    if (side == 0) return {item.latent, item.mask};
    if (item.small_latent.defined() && rng.uniform() < config.latent_downscale_probability) {
      return {item.small_latent, item.small_mask};
    }
    const int64_t h = item.latent.size(1), w = item.latent.size(2);
    const int64_t y = static_cast<int64_t>(rng.below(static_cast<uint64_t>(h - side + 1)));
    const int64_t x = static_cast<int64_t>(rng.below(static_cast<uint64_t>(w - side + 1)));
    const auto cut = [&](const at::Tensor& whole) {
      return whole.defined() ? whole.slice(1, y, y + side).slice(2, x, x + side) : whole;
    };
    return {cut(item.latent), cut(item.mask)};
  }

  int64_t caption_of(const LatentItem& item, Rng& rng) const {
    if (rng.uniform() < config.caption_dropout_rate) return 0;
    std::vector<const std::vector<int32_t>*> languages;
    for (const auto& l : item.captions) {
      if (!l.empty()) languages.push_back(&l);
    }
    if (languages.empty()) return 0;
    const auto& captions = *languages[rng.below(languages.size())];
    return captions[rng.below(captions.size())];
  }

  // Every slice finds the draw of its batch.
  int64_t t_of(int64_t batch, int64_t position) const {
    Rng rng(seed, kTimeStream + static_cast<uint64_t>(batch));
    return diffusion::t_index_of_part(loss_config, rng.uniform(), position,
                                      config.train_batch_size);
  }

  at::Tensor operator()(const Slice& slice) {
    const std::vector<int64_t> batch = order.at(slice.batch);
    std::vector<at::Tensor> latents, masks, noises, offsets, controls, pictures;
    std::vector<int64_t> captions, times;
    std::vector<uint8_t> kept;
    bool masked = false;
    for (int64_t i = slice.first; i < slice.first + slice.count; ++i) {
      const uint64_t sample = static_cast<uint64_t>(slice.batch * config.train_batch_size + i);
      const LatentItem& item = set->items[static_cast<size_t>(batch[static_cast<size_t>(i)])];
      Rng rng(seed, kChoiceStream + sample);
      const View view = view_of(item, rng);
      latents.push_back(view.latent);
      masked = masked || view.mask.defined();
      masks.push_back(view.mask.defined() ? view.mask : at::ones_like(view.latent.slice(0, 0, 1)));
      if (item.picture.defined()) {
        kept.push_back(rng.uniform() >= config.caption_dropout_rate);
        pictures.push_back(cropped(item.picture, rng));
      } else {
        captions.push_back(caption_of(item, rng));
      }
      if (item.control.defined()) {
        const bool black = rng.uniform() < config.control_dropout_rate;
        controls.push_back(black ? at::zeros_like(item.control) : item.control);
      }
      times.push_back(t_of(slice.batch, i));
      noises.push_back(normals(seed, kNoiseStream + sample, latents.back().sizes()));
      if (config.noise_offset > 0) {
        offsets.push_back(normals(seed, kOffsetStream + sample, {latents.back().size(0), 1, 1}));
      }
    }
    const at::Device device(config.device);
    const auto dtype = config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
    const at::Tensor x0 = at::stack(latents).to(device, at::kFloat);
    at::Tensor noise = at::stack(noises).to(device);
    if (!offsets.empty()) {
      noise = diffusion::offset_noise(noise, at::stack(offsets).to(device), config.noise_offset);
    }
    const at::Tensor t = at::tensor(times, at::kLong);
    const auto [context, mask] =
        pictures.empty() ? gather_captions(set->captions, captions)
                         : std::pair(at::stack(pictures),
                                     at::tensor(kept, at::kByte).to(at::kBool).unsqueeze(1));
    at::Tensor input = diffusion::noisy_input(x0, t, noise, schedule).to(dtype);
    if (!controls.empty()) input = at::cat({input, at::stack(controls).to(device, dtype)}, 1);
    input = input.contiguous(at::MemoryFormat::ChannelsLast);
    at::Tensor prediction =
        replicas[static_cast<size_t>(slice.replica)](input, t.to(device, at::kFloat),
                                                     context.to(device, dtype), mask.to(device))
            .to(at::kFloat);
    at::Tensor wanted = diffusion::target(x0, t, noise, schedule, loss_config.parameterisation);
    if (masked) {
      // m (p - w)^2 is the square of sqrt(m) p - sqrt(m) w.
      const at::Tensor root = at::stack(masks).to(device, at::kFloat).sqrt();
      prediction = prediction * root;
      wanted = wanted * root;
    }
    return diffusion::loss_per_sample(prediction, wanted, t, schedule, loss_config).sum();
  }
};

}  // namespace

diffusion::Schedule schedule_of(const TrainConfig& config) {
  diffusion::ScheduleConfig schedule;
  schedule.beta_schedule = diffusion::beta_schedule_from(config.beta_schedule);
  return diffusion::Schedule(schedule);
}

diffusion::LossConfig loss_config_of(const TrainConfig& config) {
  diffusion::LossConfig loss;
  loss.parameterisation = diffusion::parameterisation_from(config.prediction_type);
  loss.min_timestep = config.min_timestep;
  loss.max_timestep = config.max_timestep;
  loss.weighting = diffusion::loss_weighting_from(config.loss_weighting);
  loss.snr_gamma = config.snr_gamma;
  loss.sigma_data = config.sigma_data;
  loss.noise_offset = config.noise_offset;
  return loss;
}

std::pair<at::Tensor, at::Tensor> gather_captions(const CaptionStates& captions,
                                                  const std::vector<int64_t>& indices) {
  int64_t longest = 1;
  const auto length = [&](int64_t i) {
    return captions.offsets[static_cast<size_t>(i) + 1] - captions.offsets[static_cast<size_t>(i)];
  };
  for (const int64_t i : indices) longest = std::max(longest, length(i));
  const int64_t batch = static_cast<int64_t>(indices.size());
  at::Tensor context = at::zeros({batch, longest, captions.states.size(1)}, at::kBFloat16);
  at::Tensor mask = at::zeros({batch, longest}, at::kBool);
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t i = indices[static_cast<size_t>(b)], n = length(i);
    const int64_t first = captions.offsets[static_cast<size_t>(i)];
    context[b].slice(0, 0, n).copy_(captions.states.slice(0, first, first + n));
    mask[b].slice(0, 0, n).fill_(true);
  }
  return {context, mask};
}

void check_latent_crop(const TrainConfig& config, int64_t height, int64_t width) {
  const int64_t least = std::min(height, width);
  if (config.latent_crop <= least) return;
  throw bad_input(
      "latent_crop", "at most " + std::to_string(least) + ", the shorter side of latents",
      std::to_string(config.latent_crop), "a larger resolution, or a smaller latent_crop");
}

LossFunction denoiser_loss(const TrainConfig& config, const diffusion::Schedule& schedule,
                           const diffusion::LossConfig& loss_config,
                           std::vector<DenoiserCall> replicas, std::shared_ptr<LatentSet> set) {
  loss_config.validate(schedule);
  for (const LatentItem& item : set->items) {
    check_latent_crop(config, item.latent.size(1), item.latent.size(2));
  }
  const uint64_t seed = static_cast<uint64_t>(config.seed);
  std::shared_ptr<DenoiserLoss> loss(
      new DenoiserLoss{config, schedule, loss_config, std::move(replicas), set,
                       BatchOrder(*set, config.train_batch_size, seed), seed});
  return [loss](const Slice& slice) { return (*loss)(slice); };
}

std::vector<LossAtT> loss_by_t(const TrainConfig& config, const diffusion::Schedule& schedule,
                               const diffusion::LossConfig& loss_config, const DenoiserCall& net,
                               const LatentSet& set, int times, int64_t count) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> latents, noises, controls, pictures;
  std::vector<int64_t> captions;
  for (const LatentItem& item : set.items) {
    if (static_cast<int64_t>(latents.size()) == count) break;
    if (!latents.empty() && item.latent.sizes() != latents.front().sizes()) continue;
    noises.push_back(normals(static_cast<uint64_t>(config.seed), kNoiseStream + latents.size(),
                             item.latent.sizes()));
    latents.push_back(item.latent);
    if (item.control.defined()) controls.push_back(item.control);
    if (item.picture.defined()) pictures.push_back(item.picture);
    captions.push_back(item.captions.empty() || item.captions[0].empty() ? 0 : item.captions[0][0]);
  }
  diffusion::LossConfig plain = loss_config;
  plain.weighting = diffusion::LossWeighting::kNone;
  const at::Tensor x0 = at::stack(latents).to(at::kFloat), noise = at::stack(noises);
  const auto [context, mask] =
      pictures.empty() ? gather_captions(set.captions, captions)
                       : std::pair(at::stack(pictures), at::ones({x0.size(0), 1}, at::kBool));
  std::vector<LossAtT> losses;
  const int64_t span = loss_config.max_timestep - 1 - loss_config.min_timestep;
  for (int i = 0; i < times; ++i) {
    const int64_t t_index = loss_config.min_timestep + span * i / (times - 1);
    const at::Tensor t = at::full({x0.size(0)}, t_index, at::kLong);
    at::Tensor input = diffusion::noisy_input(x0, t, noise, schedule);
    if (!controls.empty()) input = at::cat({input, at::stack(controls).to(at::kFloat)}, 1);
    const at::Tensor prediction = net(input.contiguous(at::MemoryFormat::ChannelsLast),
                                      t.to(at::kFloat), context.to(at::kFloat), mask);
    const at::Tensor wanted = diffusion::target(x0, t, noise, schedule, plain.parameterisation);
    const at::Tensor loss = diffusion::loss_per_sample(prediction, wanted, t, schedule, plain);
    losses.push_back({t_index, schedule.sigma_of_t(double(t_index)), loss.mean().item<double>()});
  }
  return losses;
}

}  // namespace pangu::train
