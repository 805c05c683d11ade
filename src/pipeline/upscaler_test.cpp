#include "pipeline/upscaler.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include "core/testing.h"
#include "image/resize.h"
#include "nn/upscaler/rrdb_net.h"
#include "tensors/pictures.h"
#include "tensors/safetensors.h"

using namespace pangu;
using namespace pangu::pipeline;

namespace {

// Repeats every pixel, and counts.
Upscaler repeating(int factor, int& calls) {
  return {"repeating", factor, [factor, &calls](const at::Tensor& x, const Watch&) {
            ++calls;
            return x.repeat_interleave(factor, 2).repeat_interleave(factor, 3);
          }};
}

}  // namespace

TEST_CASE("a network enlarges as often as a size takes, and one of factor 1 once") {
  const at::Tensor pixels = at::rand({1, 3, 4, 6});
  const auto calls_for = [&](int factor, int64_t scale) {
    int calls = 0;
    const at::Tensor out = enlarged(pixels, 4 * scale, 6 * scale, repeating(factor, calls));
    CHECK(out.sizes() == at::IntArrayRef({1, 3, 4 * scale, 6 * scale}));
    return calls;
  };
  CHECK(calls_for(2, 2) == 1);
  CHECK(calls_for(2, 3) == 2);
  CHECK(calls_for(4, 2) == 1);
  CHECK(calls_for(1, 4) == 1);
  CHECK(calls_for(2, 64) == 3);
}

TEST_CASE("without a network a picture is enlarged by Lanczos") {
  image::Image picture{5, 3, 3, {}};
  for (int i = 0; i < 45; ++i) picture.pixels.push_back(static_cast<uint8_t>(i * 5));
  const image::Image got = enlarged(picture, 2.0, std::nullopt);
  const image::Image want = image::resize(picture, 10, 6);
  REQUIRE(got.pixels.size() == want.pixels.size());
  int worst = 0;
  for (size_t i = 0; i < want.pixels.size(); ++i) {
    worst = std::max(worst, std::abs(int(got.pixels[i]) - int(want.pixels[i])));
  }
  CHECK(worst <= 1);  // the passes of resize are cut to bytes' range one by one
}

TEST_CASE("an ESRGAN is opened from a file and works in tiles, other networks are refused") {
  const TestFolder folder;
  const nn::RrdbConfig config{.features = 4, .growth = 2, .blocks = 1};
  nn::RrdbNet net(config);
  tensors::TensorMap named;
  for (const auto& [name, tensor] : nn::state_of(net)) named["params_ema." + name] = tensor;
  tensors::save_safetensors(folder.file("x4.safetensors"), named);
  const Upscaler upscaler = open_upscaler(folder.file("x4.safetensors"), {});
  CHECK(upscaler.name == "x4");
  CHECK(upscaler.factor == 4);
  const at::Tensor small = at::rand({1, 3, 8, 12}), wide = at::rand({1, 3, 8, 200});
  CHECK(at::allclose(upscaler.enlarge(small, {}), net.forward(small), 1e-5, 1e-5));
  CHECK(upscaler.enlarge(wide, {}).sizes() == at::IntArrayRef({1, 3, 32, 800}));
  tensors::save_safetensors(folder.file("other.safetensors"), {{"body.0.weight", at::zeros({1})}});
  CHECK(contains(refusal_of([&] { open_upscaler(folder.file("other.safetensors"), {}); }),
                 "expected an ESRGAN upscaler (RRDBNet), found compact upscaler"));
}
