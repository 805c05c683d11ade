#include "nn/autoencoder/pixel_space.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "core/testing.h"

namespace pangu::nn {
namespace {

using nlohmann::json;

TEST_CASE("pixels as latents: there and back is the picture, and noise stays white") {
  const PixelSpace space{4, 0.5};
  at::manual_seed(1);
  const at::Tensor pixels = at::randn({2, 3, 8, 12});
  const at::Tensor latents = space.encode(pixels);
  CHECK(latents.sizes() == at::IntArrayRef({2, 48, 2, 3}));
  CHECK(at::equal(space.decode(latents), pixels));
  // Channel c p^2 + p y + x is pixel (y, x) of the patch, in colour c.
  CHECK(latents[1][16 + 4 * 2 + 3][1][2].item<float>() ==
        doctest::Approx(0.5f * pixels[1][1][4 + 2][8 + 3].item<float>()));
}

TEST_CASE("pixels as latents: the configuration says which, and what is wrong with it") {
  const json written = PixelSpace{8, 0.25, 0.5}.to_json();
  CHECK(PixelSpace::is_config(written));
  CHECK_FALSE(PixelSpace::is_config(json{{"_class_name", "AutoencoderKL"}}));
  CHECK_FALSE(PixelSpace::is_config(json()));
  const PixelSpace read = PixelSpace::from_json(written);
  CHECK(read.patch_size == 8);
  CHECK(read.scaling_factor == 0.25);
  CHECK(read.shift_factor == 0.5);
  const at::Tensor pixels = at::rand({1, 3, 8, 8});
  CHECK(at::allclose(read.encode(pixels), (pixels.view({1, 3 * 64, 1, 1}) - 0.5) * 0.25));
  CHECK(at::allclose(read.decode(read.encode(pixels)), pixels, 1e-5, 1e-6));
  for (const json& wrong : {json{{"patch_size", 0}}, json{{"patch_size", 65}},
                            json{{"scaling_factor", 0.0}}, json{{"scaling_factor", "x"}}}) {
    const std::string key = wrong.begin().key();
    CHECK(contains(refusal_of([&] { PixelSpace::from_json(wrong); }), key));
  }
}

TEST_CASE("a control picture's brightness as channels beside the latents") {
  at::Tensor hint = at::zeros({1, 3, 4, 4});
  hint.select(3, 1).fill_(1.0);  // a white column
  const at::Tensor channels = control_channels(hint, 2);
  CHECK(channels.sizes() == at::IntArrayRef({1, 4, 2, 2}));
  CHECK(channels[0][1][0][0].item<float>() == 1.0f);  // (0, 1) of the left patches
  CHECK(channels[0][3][1][0].item<float>() == 1.0f);
  CHECK(channels.sum().item<float>() == 4.0f);
}

}  // namespace
}  // namespace pangu::nn
