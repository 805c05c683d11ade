// Compares AutoencoderTiny with diffusers' class in f32. tools/parity/dump_autoencoder_tiny.py
// makes the reference when the test runs; without a Python that has diffusers the case says so
// loudly and passes.
#include "nn/autoencoder/autoencoder_tiny.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include "case.h"
#include "tensors/safetensors.h"

namespace pangu::nn {
namespace {

constexpr double kBound = 1e-4;  // f32 sums in another order

TensorMap half_of(const TensorMap& tensors, const std::string& prefix) {
  TensorMap half;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(prefix)) half[name] = tensor;
  }
  return half;
}

TensorShapes shapes_of_map(const TensorMap& tensors) {
  TensorShapes shapes;
  for (const auto& [name, tensor] : tensors) shapes[name] = tensor.sizes().vec();
  return shapes;
}

TEST_CASE("the tiny autoencoder equals diffusers', whole and by halves") {
  const parity::Dump dump("diffusers", "dump_autoencoder_tiny.py");
  if (!dump.made()) return;
  const at::NoGradGuard no_grad;
  size_t cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dump.folder())) {
    const std::string name = entry.path().filename().string();
    CAPTURE(name);
    const auto config =
        AutoencoderTinyConfig::from_json(parity::read_json(entry.path() / "config.json"));
    const TensorMap weights =
        tensors::load_safetensors((entry.path() / "weights.safetensors").string());
    const TensorMap t = tensors::load_safetensors((entry.path() / "tensors.safetensors").string());
    AutoencoderTiny whole(config);
    load_into(whole, weights);
    parity::Worst worst;
    worst.add("encoded", whole.encode(t.at("in/image")), t.at("out/encoded"));
    worst.add("encoded odd", whole.encode(t.at("in/odd")), t.at("out/encoded_odd"));
    worst.add("decoded", whole.decode(t.at("in/latent")), t.at("out/decoded"));

    const TensorMap up = half_of(weights, "decoder."), down = half_of(weights, "encoder.");
    AutoencoderTiny decoder(autoencoder_tiny_config_from_shapes(shapes_of_map(up)));
    load_into(decoder, up);
    worst.add("decoder alone", decoder.decode(t.at("in/latent")), t.at("out/decoded"));
    AutoencoderTiny encoder(autoencoder_tiny_config_from_shapes(shapes_of_map(down)));
    load_into(encoder, down);
    worst.add("encoder alone", encoder.encode(t.at("in/image")), t.at("out/encoded"));
    worst.report("autoencoder_tiny " + name, kBound);
    CHECK_THROWS(decoder.encode(t.at("in/image")));
    CHECK_THROWS(encoder.decode(t.at("in/latent")));

    AutoencoderTinyConfig read = autoencoder_tiny_config_from_shapes(shapes_of(whole));
    read.scaling_factor = config.scaling_factor;
    read.shift_factor = config.shift_factor;
    CHECK(read == config);
    CHECK(AutoencoderTinyConfig::from_json(config.to_json()) == config);
    CHECK(config.downscale() == t.at("in/image").size(2) / t.at("out/encoded").size(2));
    const at::Tensor latent = t.at("in/latent");
    CHECK(at::allclose(whole.unscale(whole.scale(latent)), latent, 1e-5, 1e-5));
    ++cases;
  }
  CHECK(cases == 3);
}

}  // namespace
}  // namespace pangu::nn
