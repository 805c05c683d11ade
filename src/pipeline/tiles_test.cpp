#include "pipeline/tiles.h"

#include <doctest/doctest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>

#include "core/testing.h"
#include "pipeline/model.h"

using namespace pangu::pipeline;

TEST_CASE("tiles cover every length with at least the overlap asked for") {
  for (int64_t length = 1; length < 200; ++length) {
    for (const int64_t tile : {16, 24, 64}) {
      for (const int64_t overlap : {0, 4, 8}) {
        const auto starts = tile_starts(length, tile, overlap);
        CHECK(starts.front() == 0);
        if (length > tile) CHECK(starts.back() == length - tile);
        for (size_t i = 1; i < starts.size(); ++i) {
          CHECK(starts[i] > starts[i - 1]);
          CHECK(starts[i] <= starts[i - 1] + tile - overlap);
        }
      }
    }
  }
}

TEST_CASE("a pass that looks at one pixel gives the same in tiles as at once") {
  torch::manual_seed(1);
  const at::Tensor z = at::randn({2, 3, 50, 37});
  const auto decode = [](const at::Tensor& t) {
    return at::upsample_nearest2d(t * 2 + 1, {t.size(2) * 4, t.size(3) * 4});
  };
  const at::Tensor tiled = in_tiles(decode, z, {16, 4, 4, 1});
  CHECK(at::allclose(tiled, decode(z), 1e-5, 1e-5));
  const at::Tensor pixels = at::randn({1, 3, 96, 136});
  const auto encode = [](const at::Tensor& t) {
    return at::adaptive_avg_pool2d(t, {t.size(2) / 8, t.size(3) / 8});
  };
  CHECK(at::allclose(in_tiles(encode, pixels, {48, 16, 1, 8}), encode(pixels), 1e-5, 1e-5));
}

TEST_CASE("tiles that disagree by a constant fade into each other without a jump") {
  int calls = 0;
  const at::Tensor z = at::zeros({1, 1, 8, 64});
  const auto pass = [&](const at::Tensor& t) { return at::full_like(t, calls++ % 2); };
  const at::Tensor tiled = in_tiles(pass, z, {32, 16, 1, 1});
  const at::Tensor jump = (tiled.slice(3, 1) - tiled.slice(3, 0, -1)).abs().max();
  CHECK(jump.item<double>() < 0.2);
  CHECK(tiled.max().item<double>() > 0.9);
}

namespace {

// Hills of colour as wide as the picture, in [-1,1]: what shows seams best.
at::Tensor smooth_picture(int64_t height, int64_t width) {
  const at::Tensor y = at::linspace(0, 1, height).view({-1, 1});
  const at::Tensor x = at::linspace(0, 1, width).view({1, -1});
  return at::stack({at::sin(2.5 * x + y), 1.4 * (x * y) - 0.7, at::cos(2 * y - x) * 0.9})
      .unsqueeze(0);
}

// Where tiles begin and end in the output, first and last edge aside.
std::vector<int64_t> borders(int64_t length, int64_t tile, int64_t overlap) {
  std::vector<int64_t> edges;
  for (const int64_t start : tile_starts(length, tile, overlap)) {
    if (start > 0) edges.push_back(start);
    if (start + tile < length) edges.push_back(start + tile);
  }
  return edges;
}

// Greatest step across the borders of tiles beyond what the picture itself has there, in steps of
// 8 bits; a: [1,3,H,W] in [-1,1].
double jump(const at::Tensor& tiled, const at::Tensor& whole, int64_t tile, int64_t overlap) {
  const at::Tensor off = (tiled - whole) * (255.0 / 2);
  double most = 0;
  for (const int64_t dim : {2, 3}) {
    const at::Tensor step = at::diff(off, 1, dim).abs();
    for (const int64_t edge : borders(off.size(dim), tile, overlap)) {
      most = std::max(most, step.select(dim, edge - 1).max().item<double>());
    }
  }
  return most;
}

}  // namespace

TEST_CASE("a smooth picture has no seams where the autoencoder worked in tiles") {
  const at::NoGradGuard no_grad;
  const at::Tensor picture = smooth_picture(768, 1024);
  const auto model_with = [](int tile) {
    LoadOptions options;
    options.dtype = "f32";
    options.vae_tile = tile;
    return load_model(std::string(pangu::kSourceDir) + "/models/mini", options);
  };
  const Model whole = model_with(1024);
  const at::Tensor z = whole.latents.encode(picture, {}).mean;
  const at::Tensor once = whole.latents.decode(z, {});
  // Across the borders less than one step of 255, though group norms and attention see one tile at
  // a time (measured: 0.03 and 0.65). What they change is spread over the overlap: up to 5 steps
  // at tiles of 768 pixels, 37 at 256.
  constexpr double kOneStep = 1.0;
  for (const int tile : {768, 256}) {
    const Model m = model_with(tile);
    const at::Tensor tiled = m.latents.decode(m.latents.encode(picture, {}).mean, {});
    CHECK(jump(tiled, once, tile, std::min(tile / 4, 128)) < kOneStep);
  }
  // Tiles side by side do jump: the measure sees what it should.
  const auto decode = [&](const at::Tensor& tile) { return whole.latents.decode(tile, {}); };
  const at::Tensor abreast = in_tiles(decode, z, {16, 0, 16, 1});
  CHECK(jump(abreast, once, 256, 0) > kOneStep);
}
