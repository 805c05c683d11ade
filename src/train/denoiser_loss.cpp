#include "train/denoiser_loss.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>

#include "core/error.h"
#include "core/rng.h"
#include "train/ahead.h"
#include "train/consistency_distillation.h"
#include "train/masked_pictures.h"
#include "train/thread_count.h"

namespace pangu::train {
namespace {

constexpr int64_t kBatchesAhead = 2;  // that are read beside a step
constexpr int kReaders = 1;           // threads that do it
constexpr double kLeastCrop = 0.8;    // of a side of what an image encoder sees
// Streams of Philox, far enough apart that sample counters never meet.
constexpr uint64_t kNoiseStream = 1ull << 56;
constexpr uint64_t kChoiceStream = 2ull << 56;
constexpr uint64_t kTimeStream = 3ull << 56;
constexpr uint64_t kOffsetStream = 4ull << 56;
constexpr uint64_t kMaskStream = 5ull << 56;

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

// Captions as a padded batch; the mask is true where a token stands.
std::pair<at::Tensor, at::Tensor> gather_captions(const CaptionStates& captions,
                                                  const std::vector<int64_t>& indices) {
  int64_t longest = 1;
  for (const int64_t i : indices) longest = std::max(longest, captions.length(i));
  const int64_t batch = static_cast<int64_t>(indices.size());
  const KeptTensor& empty = captions.states.front();
  at::Tensor context = at::zeros({batch, longest, empty.size(1)}, empty.scalar_type());
  at::Tensor mask = at::zeros({batch, longest}, at::kBool);
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t i = indices[static_cast<size_t>(b)], n = captions.length(i);
    context[b].slice(0, 0, n).copy_(captions.states[static_cast<size_t>(i)].load());
    mask[b].slice(0, 0, n).fill_(true);
  }
  if (captions.are_filled_up && mask.all().item<bool>()) mask = at::Tensor();
  return {context, mask};
}

at::Tensor gather_pooled(const CaptionStates& captions, const std::vector<int64_t>& indices) {
  std::vector<at::Tensor> rows;
  for (const int64_t i : indices) rows.push_back(captions.pooled[static_cast<size_t>(i)].load());
  return at::stack(rows);
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
  void add_sizes(const at::Tensor& numbers) { sizes_.push_back(numbers); }

  // The same without captions, or without pictures: the unconditional side of guidance.
  ConditionRows emptied() const {
    ConditionRows rows = *this;
    rows.captions_.assign(captions_.size(), 0);
    rows.seen_.assign(seen_.size(), 0);
    return rows;
  }

  diffusion::Conditions conditions(const CaptionStates& captions) const {
    diffusion::Conditions c;
    if (pictures_.empty()) {
      std::tie(c.context, c.context_mask) = gather_captions(captions, captions_);
      if (!captions.pooled.empty()) c.pooled = gather_pooled(captions, captions_);
      if (captions.are_ids) c.token_ids = std::exchange(c.context, {}).to(at::kLong);
    } else {
      c.pictures = at::stack(pictures_);
      c.context_mask = at::tensor(seen_, at::kByte).to(at::kBool).unsqueeze(1);
    }
    if (!controls_.empty()) c.extra_channels = at::stack(controls_);
    if (!sizes_.empty()) c.size_numbers = at::stack(sizes_);
    return c;
  }

 private:
  std::vector<int64_t> captions_;
  std::vector<at::Tensor> pictures_, controls_, sizes_;
  std::vector<uint8_t> seen_;
};

// Of the `position`-th item of a batch, so that a batch has all languages; the empty one if the
// item has none in its turn's language.
int64_t first_caption(const LatentItem& item, size_t position) {
  if (item.captions.empty()) return 0;
  const std::vector<int32_t>& words = item.captions[position % item.captions.size()];
  return words.empty() ? 0 : words[0];
}

// What a slice gives a network, in f32 on the CPU: all that is read or drawn for it.
struct SliceInputs {
  at::Tensor x0, noise;  // [n,C,h,w]
  at::Tensor t;          // [n] i64
  at::Tensor mask_root;  // [n,1,h,w], the root of the masks, or undefined
  at::Tensor weights;    // [n] of the losses, or undefined where all are 1
  diffusion::Conditions conditions, unconditional;  // the second of a distillation alone
  std::vector<MaskedPicture> masked;  // n of a denoiser that is told of masks, else none
};

// Batch, first sample and count of a slice, whatever replica computes it.
using SliceKey = std::tuple<int64_t, int64_t, int64_t>;

class SliceReader {
 public:
  SliceReader(const TrainConfig& config, const diffusion::LossConfig& loss_config,
              std::shared_ptr<LatentSet> set)
      : config_(config),
        loss_config_(loss_config),
        set_(std::move(set)),
        seed_(static_cast<uint64_t>(config.seed)),
        order_(batch_order(*set_, config.train_batch_size, seed_)) {}

  SliceInputs inputs_of(const SliceKey& key) const {
    const at::NoGradGuard no_grad;
    const auto [batch_number, first, count] = key;
    const std::vector<int64_t> batch = order_.at(batch_number);
    std::vector<at::Tensor> latents, masks, noises, offsets;
    std::vector<int64_t> times;
    std::vector<float> weights;
    std::vector<MaskedPicture> masked_pictures;
    ConditionRows rows;
    bool masked = false, weighted = false;
    for (int64_t i = first; i < first + count; ++i) {
      const uint64_t sample = sample_of(batch_number, i);
      const LatentItem& item = item_at(batch[static_cast<size_t>(i)]);
      Rng rng(seed_, kChoiceStream + sample);
      const View view = view_of(item, rng);
      latents.push_back(view.part_of(view.is_small ? item.small_latent : item.latent));
      const KeptTensor& mask = view.is_small ? item.small_mask : item.mask;
      masked = masked || mask.defined();
      masks.push_back(mask.defined() ? view.part_of(mask)
                                     : at::ones_like(latents.back().slice(0, 0, 1)));
      if (item.picture) {
        const bool kept = rng.uniform() >= config_.caption_dropout_rate;
        rows.add_picture(cropped(item.picture(), rng), kept);
      } else {
        rows.add_caption(caption_of(item, rng));
      }
      if (item.control) {
        const bool black = rng.uniform() < config_.control_dropout_rate;
        const at::Tensor control = item.control();
        rows.add_control(black ? at::zeros_like(control) : control);
      }
      if (item.size_numbers.defined()) rows.add_sizes(item.size_numbers);
      if (has_masks(*set_)) masked_pictures.push_back(mask_of(item, sample));
      weights.push_back(static_cast<float>(item.loss_weight));
      weighted = weighted || item.loss_weight != 1;
      times.push_back(t_of(batch_number, i));
      noises.push_back(normals(seed_, kNoiseStream + sample, latents.back().sizes()));
      if (config_.noise_offset > 0) {
        offsets.push_back(normals(seed_, kOffsetStream + sample, {latents.back().size(0), 1, 1}));
      }
    }
    SliceInputs inputs;
    inputs.x0 = at::stack(latents).to(at::kFloat);
    inputs.noise = at::stack(noises);
    if (!offsets.empty()) {
      inputs.noise =
          diffusion::offset_noise(inputs.noise, at::stack(offsets), config_.noise_offset);
    }
    inputs.t = at::tensor(times, at::kLong);
    if (masked) inputs.mask_root = at::stack(masks).to(at::kFloat).sqrt();
    if (weighted) inputs.weights = at::tensor(weights);
    inputs.conditions = rows.conditions(set_->captions);
    if (config_.distillation_phases > 0) {
      inputs.unconditional = rows.emptied().conditions(set_->captions);
    }
    inputs.masked = std::move(masked_pictures);
    return inputs;
  }

  // Of a denoiser that is told of masks. Encodes, for which it takes all threads of the caller.
  at::Tensor mask_channels_of(const SliceInputs& inputs) const {
    return mask_channels(*set_, inputs.masked);
  }

  // The length that captions of a slice are padded to; 1 if the denoiser reads pictures.
  int64_t context_length_of(const SliceKey& key) const {
    const auto [batch_number, first, count] = key;
    const std::vector<int64_t> batch = order_.at(batch_number);
    int64_t longest = 1;
    for (int64_t i = first; i < first + count; ++i) {
      const LatentItem& item = item_at(batch[static_cast<size_t>(i)]);
      if (item.picture) continue;
      Rng rng(seed_, kChoiceStream + sample_of(batch_number, i));
      view_of(item, rng);
      longest = std::max(longest, set_->captions.length(caption_of(item, rng)));
    }
    return longest;
  }

 private:
  struct View {
    bool is_small = false;           // the whole picture at the crop's size
    int64_t x = 0, y = 0, side = 0;  // of a crop; side 0: all of it

    at::Tensor part_of(const KeptTensor& kept) const {
      const at::Tensor whole = kept.load();
      return side == 0 ? whole : whole.slice(1, y, y + side).slice(2, x, x + side);
    }
  };

  uint64_t sample_of(int64_t batch, int64_t position) const {
    return static_cast<uint64_t>(batch * config_.train_batch_size + position);
  }
  const LatentItem& item_at(int64_t index) const { return set_->items[static_cast<size_t>(index)]; }

  MaskedPicture mask_of(const LatentItem& item, uint64_t sample) const {
    Rng rng(seed_, kMaskStream + sample);
    return masked_picture(*set_, item, config_.whole_mask_probability, rng);
  }

  // A crop, or the whole picture at the crop's size.
  View view_of(const LatentItem& item, Rng& rng) const {
    const int64_t side = config_.latent_crop;
    if (side == 0) return {};
    if (item.small_latent.defined() && rng.uniform() < config_.latent_downscale_probability) {
      return {.is_small = true};
    }
    const int64_t h = item.latent.size(1), w = item.latent.size(2);
    View crop{.side = side};
    crop.y = static_cast<int64_t>(rng.below(static_cast<uint64_t>(h - side + 1)));
    crop.x = static_cast<int64_t>(rng.below(static_cast<uint64_t>(w - side + 1)));
    return crop;
  }

  int64_t caption_of(const LatentItem& item, Rng& rng) const {
    if (rng.uniform() < config_.caption_dropout_rate) return 0;
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
    Rng rng(seed_, kTimeStream + static_cast<uint64_t>(batch));
    return diffusion::t_index_of_part(loss_config_, rng.uniform(), position,
                                      config_.train_batch_size);
  }

  TrainConfig config_;
  diffusion::LossConfig loss_config_;
  std::shared_ptr<LatentSet> set_;
  uint64_t seed_;
  data::BatchOrder order_;
};

struct DenoiserLoss {
  TrainConfig config;
  diffusion::Schedule schedule;
  diffusion::LossConfig loss_config;
  std::vector<DenoiserCall> replicas, teachers;
  std::shared_ptr<DataWait> wait;
  SliceReader reader;
  // While a step is computed, the same slice of the next ones is read.
  Ahead<SliceKey, SliceInputs> ahead{[this](const SliceKey& key) { return reader.inputs_of(key); },
                                     kReaders, [] { use_threads_here(1); }};

  SliceInputs take(const Slice& slice) {
    const auto asked = std::chrono::steady_clock::now();
    SliceInputs inputs = ahead.take({slice.batch, slice.first, slice.count});
    if (wait) wait->add(std::chrono::steady_clock::now() - asked);
    ahead.forget([&](const SliceKey& key) {
      const int64_t batch = std::get<0>(key);
      return batch < slice.batch || batch > slice.batch + 2 * kBatchesAhead;
    });
    for (int64_t next = 1; next <= kBatchesAhead; ++next) {
      ahead.ask({slice.batch + next, slice.first, slice.count});
    }
    return inputs;
  }

  // A network's answer in f32, and what it should be.
  struct Answer {
    at::Tensor prediction, wanted;
  };

  at::ScalarType dtype() const {
    return config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
  }
  Predict with(const DenoiserCall& net, const diffusion::Conditions& conditions) const {
    return [this, &net, c = conditions.to(at::Device(config.device), dtype())](
               const at::Tensor& x, const at::Tensor& t_index) {
      return net(x.to(dtype()).contiguous(at::MemoryFormat::ChannelsLast), t_index, c)
          .to(at::kFloat);
    };
  }

  Answer answer(const Slice& slice, const SliceInputs& inputs, const at::Tensor& x0,
                const at::Tensor& noise) const {
    const Predict student = with(replicas[static_cast<size_t>(slice.replica)], inputs.conditions);
    const at::Tensor& t = inputs.t;
    if (teachers.empty()) {
      return {
          student(diffusion::noisy_input(x0, t, noise, schedule), t.to(x0.device(), at::kFloat)),
          diffusion::target(x0, t, noise, schedule, loss_config.parameterisation)};
    }
    const PhasePlan plan{config.min_timestep, config.max_timestep, config.distillation_phases,
                         config.num_ddim_timesteps};
    std::vector<PathSection> sections;
    for (int64_t i = 0; i < t.size(0); ++i) {
      sections.push_back(section_of(plan, schedule, t[i].item<int64_t>()));
    }
    const PathBatch batch = path_batch(x0, noise, sections);
    const DenoiserCall& teacher = teachers[static_cast<size_t>(slice.replica)];
    const Predict told = with(teacher, inputs.conditions),
                  untold = with(teacher, inputs.unconditional);
    const Predict guided = [&](const at::Tensor& x, const at::Tensor& t_index) {
      const at::Tensor plain = untold(x, t_index);
      return plain + config.distillation_guidance * (told(x, t_index) - plain);
    };
    const at::Tensor wanted =
        consistency_target(batch, sections, loss_config.parameterisation, guided, student);
    return {student(batch.x, batch.t_index), wanted};
  }

  at::Tensor operator()(const Slice& slice) {
    SliceInputs inputs = take(slice);
    if (!inputs.masked.empty()) {
      inputs.conditions.extra_channels = reader.mask_channels_of(inputs);
      inputs.unconditional.extra_channels = inputs.conditions.extra_channels;
    }
    const at::Device device(config.device);
    auto [prediction, wanted] =
        answer(slice, inputs, inputs.x0.to(device), inputs.noise.to(device));
    if (inputs.mask_root.defined()) {
      // m (p - w)^2 is the square of sqrt(m) p - sqrt(m) w.
      const at::Tensor root = inputs.mask_root.to(device);
      prediction = prediction * root;
      wanted = wanted * root;
    }
    const at::Tensor losses =
        diffusion::loss_per_sample(prediction, wanted, inputs.t, schedule, loss_config);
    return inputs.weights.defined() ? (losses * inputs.weights.to(device)).sum() : losses.sum();
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
      if (item.picture) {
        rows.add_picture(item.picture(), !unconditional);
      } else {
        rows.add_caption(unconditional ? 0 : first_caption(item, i));
      }
      if (item.control) rows.add_control(item.control());
      if (item.size_numbers.defined()) rows.add_sizes(item.size_numbers);
    }
  };
  for (const int64_t i : items) latents.push_back(set.items[static_cast<size_t>(i)].latent.load());
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
                           std::vector<DenoiserCall> replicas, std::shared_ptr<LatentSet> set,
                           std::shared_ptr<DataWait> wait, std::vector<DenoiserCall> teachers) {
  loss_config.validate(schedule);
  for (const LatentItem& item : set->items) {
    check_latent_crop(config, item.latent.size(1), item.latent.size(2));
  }
  std::shared_ptr<DenoiserLoss> loss(
      new DenoiserLoss{config, schedule, loss_config, std::move(replicas), std::move(teachers),
                       std::move(wait), SliceReader(config, loss_config, std::move(set))});
  return [loss](const Slice& slice) { return (*loss)(slice); };
}

double mean_context_length(const TrainConfig& config, const std::shared_ptr<LatentSet>& set,
                           int64_t replicas, int64_t batches) {
  const int64_t size = config.train_batch_size;
  const SliceReader reader(config, loss_config_of(config), set);
  double sum = 0;
  int64_t slices = 0;
  for (int64_t b = 0; b < batches; ++b) {
    for (int64_t r = 0; r < replicas; ++r) {
      const int64_t first = size * r / replicas, last = size * (r + 1) / replicas;
      sum += double(reader.context_length_of({b, first, last - first}));
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
  const std::vector<int64_t> items = items_of_one_shape(set, count, 1);
  LatentBatch batch = batch_of(set, items, /*guided=*/false);
  const at::Tensor& x0 = batch.latents;
  if (has_masks(set)) {
    std::vector<MaskedPicture> masked;
    for (size_t i = 0; i < items.size(); ++i) {
      Rng rng(static_cast<uint64_t>(config.seed), kMaskStream + i);
      masked.push_back(masked_picture(set, set.items[static_cast<size_t>(items[i])],
                                      config.whole_mask_probability, rng));
    }
    batch.conditions.extra_channels = mask_channels(set, masked);
  }
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
