#include "pipeline/families/autoencoders.h"

#include <torch/types.h>

#include <algorithm>

#include "core/error.h"
#include "core/hash.h"
#include "io/json_file.h"
#include "nn/autoencoder/autoencoder_kl.h"
#include "nn/autoencoder/autoencoder_tiny.h"
#include "nn/autoencoder/pixel_space.h"
#include "nn/unet/unet_from_shapes.h"
#include "pipeline/tiles.h"

namespace pangu::pipeline {
namespace {

// Above this many pixels an autoencoder works in tiles: at 1536x1536 the widest activations of
// Stable Diffusion's decoder are about 2.4 GB in f32.
constexpr int64_t kWholePixels = int64_t{1536} * 1536;
constexpr int kTileSide = 768;
constexpr int kTileOverlap = 128;

Tiling tiling_of(int asked, int64_t pixels, int64_t f, bool decoding) {
  if (asked == 0 && pixels <= kWholePixels) return {};
  const int64_t side = asked == 0 ? kTileSide : asked;
  const int64_t overlap = std::min<int64_t>(kTileOverlap, side / 4);
  // Both on the grid of latent pixels.
  const int64_t tile = std::max<int64_t>(2, side / f), common = std::max<int64_t>(1, overlap / f);
  if (decoding) return {tile, common, f, 1};
  return {tile * f, common * f, 1, f};
}

// Latents that are normed channel by channel are no multiple of those of another norm: a space of
// their own.
std::string statistics_mark(const nn::AutoencoderKLConfig& config) {
  constexpr size_t kDigits = 8;
  if (config.latents_mean.empty()) return "";
  const nlohmann::json numbers = {config.latents_mean, config.latents_std};
  return " normed " + sha256_hex(numbers.dump()).substr(0, kDigits);
}

}  // namespace

LatentCodec kl_autoencoder(const std::shared_ptr<const Component>& component, double family_scale,
                           const Placement& wanted, int tile) {
  const bool rounds = rounds_products(wanted);
  const Placement place{wanted.device, rounds ? at::kFloat : wanted.dtype};
  const nn::Packing packing = rounds ? nn::Packing::kRounds : nn::Packing::kBf16;
  nn::AutoencoderKLConfig config;
  if (component->config.is_null()) {
    config = nn::autoencoder_config_from_shapes(shapes_of(*component));
    config.scaling_factor = family_scale;
  } else {
    config = read_config(*component, nn::AutoencoderKLConfig::from_json);
  }
  const auto network = std::make_shared<Lazy<nn::AutoencoderKL>>([=](const Watch& watch) {
    return make_packed_network<nn::AutoencoderKL>(config, *component, place, tensors_of(*component),
                                                  watch, packing);
  });
  const int f = config.downscale();
  LatentCodec a;
  a.channels = config.latent_channels;
  a.downscale = f;
  // The encoder makes the space: of decoders trained further, each reads it.
  a.space = {fingerprint_of(*component, {"encoder.", "quant_conv."}) + statistics_mark(config),
             config.scaling_factor, config.shift_factor};
  a.load = [network](const Watch& watch) { network->get(watch); };
  a.decode = [=](const at::Tensor& latents, const Watch& watch) {
    nn::AutoencoderKL& vae = network->get(watch);
    const int64_t pixels = latents.size(2) * latents.size(3) * f * f;
    const at::Tensor picture = in_tiles(
        [&](const at::Tensor& z) {
          return vae.decode(as_input(z, place), watch).to(at::kFloat).cpu();
        },
        vae.unscale(latents), tiling_of(tile, pixels, f, true));
    check_finite(picture, *component, &vae);
    return picture;
  };
  a.encode = [=](const at::Tensor& image, const Watch& watch) {
    nn::AutoencoderKL& vae = network->get(watch);
    const at::Tensor moments = in_tiles(
        [&](const at::Tensor& part) {
          const auto [mean, log_variance] = vae.encode(as_input(part, place), watch);
          return at::cat({mean, log_variance}, 1).to(at::kFloat).cpu();
        },
        image, tiling_of(tile, image.size(2) * image.size(3), f, false));
    check_finite(moments, *component, &vae);
    const auto halves = moments.chunk(2, 1);
    const at::Tensor deviation = at::exp(halves[1] * 0.5);
    return Posterior{vae.scale(halves[0]), vae.scale_deviation(deviation)};
  };
  return a;
}

LatentCodec tiny_autoencoder(const std::shared_ptr<const Component>& component,
                             const Placement& place, int tile) {
  const auto config = component->config.is_null()
                          ? nn::autoencoder_tiny_config_from_shapes(shapes_of(*component))
                          : read_config(*component, nn::AutoencoderTinyConfig::from_json);
  const auto network = std::make_shared<Lazy<nn::AutoencoderTiny>>([=](const Watch& watch) {
    return make_packed_network<nn::AutoencoderTiny>(config, *component, place,
                                                    tensors_of(*component), watch);
  });
  const int f = static_cast<int>(config.downscale());
  LatentCodec a;
  a.channels = static_cast<int>(config.latent_channels);
  a.downscale = f;
  a.space = {fingerprint_of(*component), 1.0, 0.0};
  a.load = [network](const Watch& watch) { network->get(watch); };
  a.decode = [=](const at::Tensor& latents, const Watch& watch) {
    const int64_t pixels = latents.size(2) * latents.size(3) * f * f;
    const at::Tensor picture = in_tiles(
        [&](const at::Tensor& z) {
          return network->get(watch).decode(as_input(z, place)).to(at::kFloat).cpu();
        },
        latents, tiling_of(tile, pixels, f, true));
    check_finite(picture, *component, &network->get(watch));
    return picture;
  };
  a.encode = [=](const at::Tensor& image, const Watch& watch) {
    const at::Tensor mean = in_tiles(
        [&](const at::Tensor& part) {
          return network->get(watch).encode(as_input(part, place)).to(at::kFloat).cpu();
        },
        image, tiling_of(tile, image.size(2) * image.size(3), f, false));
    check_finite(mean, *component, &network->get(watch));
    return Posterior{mean, at::zeros_like(mean)};
  };
  return a;
}

LatentCodec open_latent_codec(const std::string& folder, const LoadOptions& options) {
  const nlohmann::json config = io::read_json_file(folder + "/config.json", "autoencoder");
  if (nn::PixelSpace::is_config(config)) return pixel_autoencoder(config);
  const auto component = std::make_shared<Component>(open_autoencoder(folder).first);
  return kl_autoencoder(component, 1.0, placement_of(options), options.vae_tile);
}

LatentCodec open_tiny_autoencoder(const std::string& path, const LoadOptions& options) {
  const auto [component, what] = open_autoencoder(path);
  if (what.part != io::Part::kTinyVae) {
    throw bad_input("'" + path + "'", "a tiny autoencoder (TAESD)", what.human_name);
  }
  return tiny_autoencoder(std::make_shared<Component>(component), placement_of(options),
                          options.vae_tile);
}

LatentCodec pixel_autoencoder(const nlohmann::json& config) {
  const nn::PixelSpace pixels = nn::PixelSpace::from_json(config);
  LatentCodec a;
  a.channels = static_cast<int>(pixels.channels());
  a.downscale = static_cast<int>(pixels.patch_size);
  a.space = {"pixels / " + std::to_string(pixels.patch_size), pixels.scaling_factor,
             pixels.shift_factor};
  a.load = [](const Watch&) {};
  a.decode = [pixels](const at::Tensor& latents, const Watch&) { return pixels.decode(latents); };
  a.encode = [pixels](const at::Tensor& image, const Watch&) {
    const at::Tensor latents = pixels.encode(image);
    return Posterior{latents, at::zeros_like(latents)};
  };
  return a;
}

}  // namespace pangu::pipeline
