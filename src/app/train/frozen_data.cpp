#include "app/train/frozen_data.h"

#include <torch/types.h>

#include <span>

#include "app/train/control_pictures.h"
#include "app/train/latent_cache.h"
#include "app/train/lora_validation.h"
#include "core/error.h"
#include "core/hash.h"
#include "data/caption_variants.h"

namespace pangu::app {
namespace {

// Versions of a caption whose tags change. They are encoded before the training and drawn from in
// it; the number may not depend on the number of steps, which may grow.
constexpr int64_t kCaptionVersions = 16;

// The sizes that the model knows, of about the area that is trained at; none: all.
std::vector<data::Bucket> buckets_of(const train::TrainConfig& config,
                                     const pipeline::FrozenBase& base) {
  std::vector<data::Bucket> buckets;
  const double area = double(config.resolution) * double(config.resolution);
  for (const auto& [width, height] : base.model.rules.sizes) {
    const double share = double(width) * height / area;
    if (share > 0.5 && share < 2) buckets.push_back({width, height});
  }
  if (buckets.empty() && !base.model.rules.sizes.empty()) {
    throw bad_input("resolution", "about the side of a size that the model knows",
                    std::to_string(config.resolution));
  }
  return buckets;
}

CacheSources frozen_sources(const TrainingRun& run, const pipeline::FrozenBase& base,
                            TrainingData data) {
  const train::TrainConfig& config = run.config;
  CacheSources sources;
  sources.codec = base.model.latents;
  sources.buckets = buckets_of(config, base);
  train::LatentEncoders& e = sources.encoders;
  e.latents_type = at::kFloat;
  e.states_type = config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
  e.latents_maker = sources.codec.space.text() + ", f32";
  e.downscale = sources.codec.downscale;
  e.encode = [codec = sources.codec](const at::Tensor& pixels) {
    return codec.encode(pixels, {}).mean;
  };
  e.reads_ids = train::changes_text(config);
  if (e.reads_ids) e.states_type = at::kFloat;  // which holds every id
  const pipeline::CaptionReader reader =
      e.reads_ids ? pipeline::frozen_caption_ids(base) : pipeline::frozen_captions(base);
  e.captions_maker = reader.identity + (e.states_type == at::kFloat ? ", f32" : ", bf16");
  e.fills_captions_up = base.fills_captions_up;
  e.read = [reader, most = config.max_token_length](const auto& captions) {
    return reader.read(captions, most);
  };
  if (!pipeline::size_numbers_of(base,
                                 pipeline::drawn_sizes(*base.model.rules.defaults.width,
                                                       *base.model.rules.defaults.height, false))
           .empty()) {
    e.size_numbers = [&base](const data::TrainingPicture& picture) {
      const bool is_drawn = picture.original_width_px == 0;
      return pipeline::size_numbers_of(
          base, {.width = picture.width_px,
                 .height = picture.height_px,
                 .original_width = is_drawn ? picture.width_px : picture.original_width_px,
                 .original_height = is_drawn ? picture.height_px : picture.original_height_px,
                 .crop_left = picture.crop_left_px,
                 .crop_top = picture.crop_top_px});
    };
  }
  if (config.network_module == "controlnet") e.hint = control_pictures(config);
  e.tells_masks = base.model.denoising.extra_channels > 0;
  if (e.tells_masks && !config.mask_data_dir.empty()) e.own_mask = mask_pictures(config);
  sources.data = std::move(data);
  data::vary_captions(sources.data.items,
                      {.shuffle_caption = config.shuffle_caption,
                       .keep_tokens = config.keep_tokens,
                       .caption_tag_dropout_rate = config.caption_tag_dropout_rate,
                       .seed = static_cast<uint64_t>(config.seed)},
                      kCaptionVersions);
  return sources;
}

int64_t shown_an_epoch(const std::vector<data::Item>& items) {
  int64_t shown = 0;
  for (const data::Item& item : items) shown += item.repeats;
  return shown;
}

// The pictures of config.reg_data_dir; none: nothing.
TrainingData regularisation_of(const TrainingRun& run) {
  if (run.config.reg_data_dir.empty()) return {};
  train::TrainConfig config = run.config;
  config.train_data_dir = config.reg_data_dir;
  return training_data(config, !run.dry_run);
}

// Behind the pictures as many regularisation pictures an epoch, the first ones first, as kohya's
// trainer repeats them.
TrainingData with_regularisation(TrainingData data, const TrainingData& more) {
  const int64_t wanted = shown_an_epoch(data.items);
  const auto count = static_cast<int64_t>(more.items.size());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t repeats = wanted / count + (i < wanted % count ? 1 : 0);
    if (repeats == 0) break;
    data.items.push_back(more.items[static_cast<size_t>(i)]);
    data.items.back().repeats = static_cast<int>(repeats);
    data.contents.push_back(more.contents[static_cast<size_t>(i)]);
  }
  return data;
}

// Of the control pictures or masks, which no other hash knows. Each is read once for it.
std::string hash_of_controls(const train::LatentSet& set) {
  Sha256 hash;
  for (const train::LatentItem& item : set.items) {
    const train::ReadTensor& one = item.control ? item.control : item.own_mask;
    if (!one) return "";
    const at::Tensor bytes = one().contiguous();
    hash.update(std::span(static_cast<const std::byte*>(bytes.const_data_ptr()), bytes.nbytes()));
  }
  return hex_of(hash.digest());
}

// The set of all pictures of `sources`. One that tells masks or hints reads pictures while it
// trains, so that their list outlives the text encoders, which it lets go of.
std::shared_ptr<train::LatentSet> set_of(const TrainingRun& run,
                                         const std::shared_ptr<CacheSources>& sources) {
  auto set = first_alone(
      run, [&] { return latent_set_for(run.config, *sources, run.quiet, run.wants_stop); });
  if (!sources->encoders.tells_masks && !sources->encoders.hint) return set;
  sources->encoders = {};
  set->holds = sources;
  return set;
}

}  // namespace

FrozenData frozen_data(const TrainingRun& run, const TrainingData& data) {
  const pipeline::FrozenBase base = pipeline::reopened(*run.frozen);
  const auto [trained, kept] = split_for_validation(run.config, data);
  const TrainingData more = regularisation_of(run);
  const auto sources =
      std::make_shared<CacheSources>(frozen_sources(run, base, with_regularisation(trained, more)));
  FrozenData all;
  all.conditioning = conditioning_hash(*sources);
  if (!more.items.empty()) {
    all.conditioning = sha256_hex(all.conditioning + " " + more.index_hash);
    const data::Item* first = sources->data.items.data() + trained.items.size();
    sources->encoders.loss_weight =
        [first, prior = run.config.prior_loss_weight](const data::TrainingPicture& picture) {
          return picture.item >= first ? prior : 1.0;
        };
  }
  if (run.dry_run) {
    all.set = latent_set_of_one(run.config, *sources, check_pictures(sources->data));
    return all;
  }
  all.set = set_of(run, sources);
  if (!kept.items.empty()) {
    all.validation = set_of(run, std::make_shared<CacheSources>(frozen_sources(run, base, kept)));
  }
  const std::string controls = hash_of_controls(*all.set);
  if (!controls.empty()) all.conditioning = sha256_hex(all.conditioning + " " + controls);
  return all;
}

}  // namespace pangu::app
