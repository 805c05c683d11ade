#include "app/latent_look.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <fstream>

#include "core/testing.h"
#include "nn/autoencoder/autoencoder_tiny.h"
#include "pipeline/families/autoencoders.h"
#include "tensors/pictures.h"
#include "tensors/safetensors.h"

using namespace pangu;
using namespace pangu::app;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kChannels = 4;

// A decoder with random weights in the layout of the published files: a plain list of layers whose
// first is a clamp without weights.
void write_decoder(const fs::path& file, uint64_t seed, int64_t channels = kChannels) {
  nn::AutoencoderTinyConfig config;
  config.latent_channels = channels;
  config.decoder_width = config.encoder_width = 8;
  at::manual_seed(seed);
  const nn::AutoencoderTiny network(config);
  nn::TensorMap published;
  const std::string prefix = "decoder.layers.";
  for (const auto& item : network.named_parameters()) {
    const std::string& name = item.key();
    if (!name.starts_with(prefix)) continue;
    const size_t point = name.find('.', prefix.size());
    const int number = std::stoi(name.substr(prefix.size(), point - prefix.size()));
    published[std::to_string(number + 1) + name.substr(point)] = item.value().detach().clone();
  }
  fs::create_directories(file.parent_path());
  tensors::save_safetensors(file.string(), published);
}

// A model whose own decoder is that of a file.
pipeline::Model model_of(const fs::path& decoder) {
  pipeline::LoadOptions options;
  options.dtype = "f32";
  pipeline::Model model;
  model.latents = pipeline::open_tiny_autoencoder(decoder.string(), options);
  return model;
}

at::Tensor some_latents() {
  at::manual_seed(5);
  return at::randn({kChannels, 12, 20});
}

TEST_CASE("the tiny autoencoder that fits the model's decoder shows its latents") {
  const TestFolder folder;
  const fs::path places = folder.path / "vae_approx";
  write_decoder(places / "taesd_decoder.safetensors", 1);
  write_decoder(places / "taesdxl_decoder.safetensors", 2);
  write_decoder(places / "taesd3_decoder.safetensors", 2, 16);
  std::ofstream(places / "taebroken_decoder.safetensors") << "no weights";
  const pipeline::Model model = model_of(places / "taesdxl_decoder.safetensors");
  LatentLook look;
  look.add_folder(places);
  look.prepare(model, {});
  REQUIRE(look.has_tiny(model));
  CHECK(look.expected_seconds(model, some_latents()) > 0.0);
  const image::Image shown = look.picture_of(model, some_latents());
  CHECK(shown.width == 160);
  CHECK(shown.height == 96);
  const at::Tensor decoded = model.latents.decode(some_latents().unsqueeze(0), {});
  CHECK((shown == tensors::picture_of(decoded[0])));
}

TEST_CASE("without one that fits, colours are mapped, a pixel for each of the latent") {
  const TestFolder folder;
  write_decoder(folder.path / "own.safetensors", 3);
  write_decoder(folder.path / "vae_approx" / "taesd_decoder.safetensors", 4);
  const pipeline::Model model = model_of(folder.path / "own.safetensors");
  LatentLook look;
  for (const fs::path& place : tiny_autoencoder_folders({folder.path})) look.add_folder(place);
  look.add_folder(folder.path / "nowhere");
  look.prepare(model, {});
  CHECK_FALSE(look.has_tiny(model));
  CHECK(look.expected_seconds(model, some_latents()) == 0.0);
  const image::Image shown = look.picture_of(model, some_latents());
  CHECK(shown.width == 20);
  CHECK(shown.height == 12);
}

TEST_CASE("a preview is no larger than 512 px a side") {
  const TestFolder folder;
  write_decoder(folder.path / "taesd_decoder.safetensors", 1);
  const pipeline::Model model = model_of(folder.path / "taesd_decoder.safetensors");
  LatentLook look;
  look.add_folder(folder.path);
  look.prepare(model, {});
  const image::Image shown = look.picture_of(model, at::zeros({kChannels, 40, 80}));
  CHECK(shown.width == 512);
  CHECK(shown.height == 256);
}

}  // namespace
