#include "app/train/codec.h"

#include <torch/types.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "app/train/training.h"
#include "core/hash.h"
#include "io/file_hash.h"
#include "io/json_file.h"
#include "nn/autoencoder/autoencoder_kl.h"
#include "nn/autoencoder/pixel_space.h"
#include "nn/unet/unet.h"
#include "nn/weights.h"
#include "tensors/safetensors.h"

namespace pangu::app {

Codec open_codec(const std::string& folder) {
  const auto json = io::read_json_file(folder + "/config.json", "autoencoder");
  if (nn::PixelSpace::is_config(json)) {
    const auto pixels = nn::PixelSpace::from_json(json);
    return {pixels.patch_size, true, sha256_hex(json.dump()),
            [pixels](const at::Tensor& image) { return pixels.encode(image); },
            [pixels](const at::Tensor& latents) { return pixels.decode(latents); }};
  }
  const std::string weights = folder + "/diffusion_pytorch_model.safetensors";
  auto vae = std::make_shared<nn::AutoencoderKL>(nn::AutoencoderKLConfig::from_json(json));
  nn::load_into(*vae, tensors::load_safetensors(weights));
  nn::weights_to_channels_last(*vae);
  vae->eval();
  return {vae->config().downscale(), false, io::sha256_of_files({weights, folder + "/config.json"}),
          [vae](const at::Tensor& image) {
            return vae->scale(vae->encode(image.contiguous(at::MemoryFormat::ChannelsLast)).first);
          },
          [vae](const at::Tensor& latents) { return vae->decode(vae->unscale(latents)); }};
}

}  // namespace pangu::app
