#include "app/train/latent_cache.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "data/training_list.h"
#include "image/canny.h"
#include "io/json_file.h"
#include "nn/autoencoder/pixel_space.h"
#include "tensors/pictures.h"

namespace pangu::app {
namespace {

// Of an item's own pixels, in bytes.
image::Image picture_of(const pipeline::LatentCodec& codec, const at::Tensor& latent) {
  return tensors::picture_of(codec.decode(latent.unsqueeze(0), {})[0]);
}

data::TrainingListOptions list_options(const train::TrainConfig& config,
                                       const std::vector<data::Bucket>& buckets) {
  return {.resolution_px = static_cast<int>(config.resolution),
          .enable_bucket = config.enable_bucket,
          .bucket_step_px = static_cast<int>(config.bucket_reso_steps),
          .bucket_no_upscale = config.bucket_no_upscale,
          .buckets = buckets,
          .alpha_mask = config.alpha_mask,
          .scene_count = config.scene_count,
          .seed = static_cast<uint64_t>(config.seed)};
}

train::LatentEncoders encoders_of(const train::TrainConfig& config,
                                  const pipeline::TrainingSpec& spec,
                                  const pipeline::NetworkConfigs& networks,
                                  const pipeline::LatentCodec& codec) {
  train::LatentEncoders encoders;
  encoders.latents_maker = codec.space.text();
  encoders.downscale = codec.downscale;
  encoders.encode = [codec](const at::Tensor& pixels) { return codec.encode(pixels, {}).mean; };
  if (spec.captions) {
    const pipeline::CaptionReader reader = spec.captions(config.model_dir);
    encoders.captions_maker = reader.identity;
    encoders.read = [reader, most = config.max_token_length](const auto& captions) {
      return reader.read(captions, most);
    };
  }
  if (spec.sight) {
    encoders.picture = [codec, networks, sight = spec.sight](const at::Tensor& latent) {
      return sight(tensors::pixels_of(picture_of(codec, latent), 0.0, 1.0), networks)[0];
    };
  }
  if (!config.control.empty()) {
    encoders.control = [codec](const at::Tensor& latent) {
      const image::Image edges = image::canny(picture_of(codec, latent));
      return nn::control_channels(tensors::pixels_of(edges, 0.0, 1.0), codec.downscale)[0];
    };
  }
  return encoders;
}

}  // namespace

CacheSources open_cache_sources(const train::TrainConfig& config,
                                const pipeline::TrainingSpec& spec,
                                const pipeline::NetworkConfigs& networks, TrainingData data) {
  const std::string vae = config.model_dir + "/vae";
  if ((spec.sight || !config.control.empty()) &&
      !nn::PixelSpace::is_config(io::read_json_file(vae + "/config.json", "autoencoder"))) {
    throw bad_input("model_dir '" + config.model_dir + "'",
                    "a vae/config.json of PixelSpace, for `control` and `image_encoder_config`",
                    "an autoencoder");
  }
  pipeline::LoadOptions options;
  options.dtype = "f32";
  CacheSources sources;
  sources.codec = spec.codec(vae, options);
  sources.encoders = encoders_of(config, spec, networks, sources.codec);
  sources.data = std::move(data);
  return sources;
}

std::string conditioning_hash(const CacheSources& sources) {
  return sha256_hex(sources.encoders.captions_maker + " " + sources.encoders.latents_maker);
}

std::shared_ptr<train::LatentSet> latent_set_for(const train::TrainConfig& config,
                                                 const CacheSources& sources, bool quiet,
                                                 const std::function<bool()>& wants_stop) {
  const TrainingData& data = sources.data;
  const auto pictures = data::training_list(data.items, data.contents, data.index_hash,
                                            list_options(config, sources.buckets));
  std::optional<ProgressBar> bar;
  const auto watch = [&](const char* label) {
    Watch one;
    one.wants_stop = wants_stop;
    if (!quiet) {
      one.on_progress = [&bar, label, open = false](const Progress& progress) mutable {
        if (!open) bar.emplace(label);
        open = true;
        (*bar)(progress);
      };
    }
    return one;
  };
  data::Report report;
  auto set = train::encode_training_set(config, pictures, sources.encoders, report,
                                        {watch("captions"), watch("latents")});
  bar.reset();
  if (!report.is_clean()) std::fprintf(stderr, "data: %s\n", report.text().c_str());
  if (set->items.empty()) {
    throw bad_input("train_data_dir", "at least one readable picture", "none");
  }
  return set;
}

std::shared_ptr<train::LatentSet> latent_set_of_one(const train::TrainConfig& config,
                                                    const CacheSources& sources,
                                                    const data::Item& item) {
  train::TrainConfig alone = config;
  alone.cache_dir.clear();
  alone.scene_count = 0;
  const auto items = std::make_shared<const std::vector<data::Item>>(1, item);
  const auto pictures =
      data::training_list(*items, {"one"}, "one", list_options(alone, sources.buckets));
  data::Report report;
  auto set = train::encode_training_set(alone, pictures, sources.encoders, report, {});
  set->holds = items;
  return set;
}

}  // namespace pangu::app
