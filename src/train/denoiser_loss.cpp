#include "train/denoiser_loss.h"

#include <torch/types.h>

#include <algorithm>
#include <tuple>

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

int64_t length_of(const CaptionStates& captions, int64_t caption) {
  const auto i = static_cast<size_t>(caption);
  return captions.offsets[i + 1] - captions.offsets[i];
}

// Captions as a padded batch; the mask is true where a token stands.
std::pair<at::Tensor, at::Tensor> gather_captions(const CaptionStates& captions,
                                                  const std::vector<int64_t>& indices) {
  int64_t longest = 1;
  for (const int64_t i : indices) longest = std::max(longest, length_of(captions, i));
  const int64_t batch = static_cast<int64_t>(indices.size());
  at::Tensor context = at::zeros({batch, longest, captions.states.size(1)}, at::kBFloat16);
  at::Tensor mask = at::zeros({batch, longest}, at::kBool);
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t i = indices[static_cast<size_t>(b)], n = length_of(captions, i);
    const int64_t first = captions.offsets[static_cast<size_t>(i)];
    context[b].slice(0, 0, n).copy_(captions.states.slice(0, first, first + n));
    mask[b].slice(0, 0, n).fill_(true);
  }
  return {context, mask};
}

// What a batch is told, row by row.
class ConditionRows {
 public:
  void add_caption(int64_t caption) { captions_.push_back(caption); }
  void add_picture(const at::Tensor& picture, bool is_seen) {
    pictures_.push_back(picture);
    seen_.push_back(is_seen);
  }
  void add_control(const at::Tensor& control) { controls_.push_back(control); }

  diffusion::Conditions conditions(const CaptionStates& captions) const {
    diffusion::Conditions c;
    if (pictures_.empty()) {
      std::tie(c.context, c.context_mask) = gather_captions(captions, captions_);
    } else {
      c.pictures = at::stack(pictures_);
      c.context_mask = at::tensor(seen_, at::kByte).to(at::kBool).unsqueeze(1);
    }
    if (!controls_.empty()) c.extra_channels = at::stack(controls_);
    return c;
  }

 private:
  std::vector<int64_t> captions_;
  std::vector<at::Tensor> pictures_, controls_;
  std::vector<uint8_t> seen_;
};

// Of the `position`-th item of a batch, so that a batch has all languages; the empty one if the
// item has none in its turn's language.
int64_t first_caption(const LatentItem& item, size_t position) {
  if (item.captions.empty()) return 0;
  const std::vector<int32_t>& words = item.captions[position % item.captions.size()];
  return words.empty() ? 0 : words[0];
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

  // Of sample `sample` of the run: the choices of operator() up to its caption.
  int64_t context_length_of(int64_t item_index, uint64_t sample) const {
    const LatentItem& item = set->items[static_cast<size_t>(item_index)];
    if (item.picture.defined()) return 1;
    Rng rng(seed, kChoiceStream + sample);
    view_of(item, rng);
    return length_of(set->captions, caption_of(item, rng));
  }

  // Every slice finds the draw of its batch.
  int64_t t_of(int64_t batch, int64_t position) const {
    Rng rng(seed, kTimeStream + static_cast<uint64_t>(batch));
    return diffusion::t_index_of_part(loss_config, rng.uniform(), position,
                                      config.train_batch_size);
  }

  at::Tensor operator()(const Slice& slice) {
    const std::vector<int64_t> batch = order.at(slice.batch);
    std::vector<at::Tensor> latents, masks, noises, offsets;
    std::vector<int64_t> times;
    ConditionRows rows;
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
        const bool kept = rng.uniform() >= config.caption_dropout_rate;
        rows.add_picture(cropped(item.picture, rng), kept);
      } else {
        rows.add_caption(caption_of(item, rng));
      }
      if (item.control.defined()) {
        const bool black = rng.uniform() < config.control_dropout_rate;
        rows.add_control(black ? at::zeros_like(item.control) : item.control);
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
    const at::Tensor input = diffusion::noisy_input(x0, t, noise, schedule)
                                 .to(dtype)
                                 .contiguous(at::MemoryFormat::ChannelsLast);
    at::Tensor prediction =
        replicas[static_cast<size_t>(slice.replica)](
            input, t.to(device, at::kFloat), rows.conditions(set->captions).to(device, dtype))
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

std::vector<int64_t> items_of_one_shape(const LatentSet& set, int64_t count, int64_t stride) {
  std::vector<int64_t> chosen;
  for (size_t i = 0; i < set.items.size(); i += static_cast<size_t>(stride)) {
    if (static_cast<int64_t>(chosen.size()) == count) break;
    if (set.items[i].latent.sizes() == set.items.front().latent.sizes()) {
      chosen.push_back(static_cast<int64_t>(i));
    }
  }
  return chosen;
}

LatentBatch batch_of(const LatentSet& set, const std::vector<int64_t>& items, bool guided) {
  std::vector<at::Tensor> latents;
  ConditionRows rows;
  const auto add_side = [&](bool unconditional) {
    for (size_t i = 0; i < items.size(); ++i) {
      const LatentItem& item = set.items[static_cast<size_t>(items[i])];
      if (item.picture.defined()) {
        rows.add_picture(item.picture, !unconditional);
      } else {
        rows.add_caption(unconditional ? 0 : first_caption(item, i));
      }
      if (item.control.defined()) rows.add_control(item.control);
    }
  };
  for (const int64_t i : items) latents.push_back(set.items[static_cast<size_t>(i)].latent);
  if (guided) add_side(true);
  add_side(false);
  return {at::stack(latents).to(at::kFloat),
          rows.conditions(set.captions).to(at::kCPU, at::kFloat)};
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

double mean_context_length(const TrainConfig& config, const std::shared_ptr<LatentSet>& set,
                           int64_t replicas, int64_t batches) {
  const uint64_t seed = static_cast<uint64_t>(config.seed);
  const int64_t size = config.train_batch_size;
  DenoiserLoss loss{
      config, schedule_of(config), loss_config_of(config), {}, set, BatchOrder(*set, size, seed),
      seed};
  double sum = 0;
  int64_t slices = 0;
  for (int64_t b = 0; b < batches; ++b) {
    const std::vector<int64_t> batch = loss.order.at(b);
    for (int64_t r = 0; r < replicas; ++r) {
      int64_t longest = 1;
      for (int64_t i = size * r / replicas; i < size * (r + 1) / replicas; ++i) {
        longest = std::max(longest, loss.context_length_of(batch[static_cast<size_t>(i)],
                                                           static_cast<uint64_t>(b * size + i)));
      }
      sum += double(longest);
      ++slices;
    }
  }
  return slices > 0 ? sum / double(slices) : 1;
}

std::vector<LossAtT> loss_at(const TrainConfig& config, const diffusion::Schedule& schedule,
                             const diffusion::LossConfig& loss_config, const DenoiserCall& net,
                             const LatentSet& set, const std::vector<int64_t>& t_indices,
                             int64_t count) {
  const at::NoGradGuard no_grad;
  const LatentBatch batch = batch_of(set, items_of_one_shape(set, count, 1), /*guided=*/false);
  const at::Tensor& x0 = batch.latents;
  std::vector<at::Tensor> noises;
  for (int64_t i = 0; i < x0.size(0); ++i) {
    noises.push_back(normals(static_cast<uint64_t>(config.seed),
                             kNoiseStream + static_cast<uint64_t>(i), x0[i].sizes()));
  }
  const at::Tensor noise = at::stack(noises);
  diffusion::LossConfig plain = loss_config;
  plain.weighting = diffusion::LossWeighting::kNone;
  std::vector<LossAtT> losses;
  for (const int64_t t_index : t_indices) {
    const at::Tensor t = at::full({x0.size(0)}, t_index, at::kLong);
    const at::Tensor input = diffusion::noisy_input(x0, t, noise, schedule);
    const at::Tensor prediction =
        net(input.contiguous(at::MemoryFormat::ChannelsLast), t.to(at::kFloat), batch.conditions);
    const at::Tensor wanted = diffusion::target(x0, t, noise, schedule, plain.parameterisation);
    const at::Tensor loss = diffusion::loss_per_sample(prediction, wanted, t, schedule, plain);
    losses.push_back({t_index, schedule.sigma_of_t(double(t_index)), loss.mean().item<double>()});
  }
  return losses;
}

std::vector<LossAtT> loss_by_t(const TrainConfig& config, const diffusion::Schedule& schedule,
                               const diffusion::LossConfig& loss_config, const DenoiserCall& net,
                               const LatentSet& set, int times, int64_t count) {
  const int64_t span = loss_config.max_timestep - 1 - loss_config.min_timestep;
  std::vector<int64_t> t_indices;
  for (int i = 0; i < times; ++i) {
    t_indices.push_back(loss_config.min_timestep + span * i / (times - 1));
  }
  return loss_at(config, schedule, loss_config, net, set, t_indices, count);
}

}  // namespace pangu::train
