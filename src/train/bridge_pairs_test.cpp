// Shapes and pairs of bridges, with sides whose latents are mean colours.
#include "train/bridge_pairs.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <algorithm>

#include "core/testing.h"
#include "image/image.h"

namespace pangu::train {
namespace {

BridgeSide side_of(const std::string& encoder, int downscale, int size_px) {
  BridgeSide side;
  side.name = side.encoder = side.space = encoder;
  side.channels = 3;
  side.downscale = downscale;
  side.size_px = size_px;
  side.encode = [downscale](const at::Tensor& x) { return at::avg_pool2d(x, downscale); };
  side.decode = [downscale](const at::Tensor& z) {
    return at::upsample_nearest2d(z, {z.size(2) * downscale, z.size(3) * downscale});
  };
  return side;
}

at::Tensor resize(const at::Tensor& x, int width, int height) {
  return at::upsample_bilinear2d(x, {height, width}, /*align_corners=*/false);
}

struct Pictures {
  TestFolder folder;
  std::vector<data::Item> items;

  void add(const std::string& name, image::Color color) {
    data::Item& item = items.emplace_back();
    item.id = name;
    item.bytes.path = folder.write(name, image::encode_png(image::filled(64, 48, color, 3)));
  }
};

TEST_CASE("shapes begin with both sides' squares, have whole latents, and none comes twice") {
  const auto shapes = bridge_shapes(side_of("a", 16, 256), side_of("b", 8, 128));
  CHECK(shapes.front().a_width == 256);
  CHECK(shapes.front().b_height == 128);
  for (size_t i = 0; i < shapes.size(); ++i) {
    CHECK(shapes[i].a_width % 16 == 0);
    CHECK(shapes[i].b_height % 8 == 0);
    for (size_t k = 0; k < i; ++k) {
      CHECK((shapes[i].a_width != shapes[k].a_width || shapes[i].a_height != shapes[k].a_height ||
             shapes[i].b_width != shapes[k].b_width || shapes[i].b_height != shapes[k].b_height));
    }
  }
  // Two spaces meet at one size in pixels too; two sizes of one space do not need to.
  const auto alike = bridge_shapes(side_of("a", 16, 256), side_of("a", 16, 128));
  const auto same_size = [](const BridgeShape& s) { return s.a_width == s.b_width; };
  CHECK(std::any_of(shapes.begin(), shapes.end(), same_size));
  CHECK(std::none_of(alike.begin(), alike.end(), same_size));
  CHECK(bridge_size_px(10, 8) == 32);  // four latent pixels at least
  CHECK(bridge_size_px(131, 8) == 128);
}

TEST_CASE("pairs of plain pictures show the same in both spaces") {
  Pictures p;
  p.add("red.png", {255, 0, 0});
  p.add("blue.png", {0, 0, 255});
  data::Report report;
  const PairMaker maker(side_of("a", 16, 64), side_of("b", 8, 64), p.items, {}, resize);
  const auto pairs = maker.plain(9, report);
  REQUIRE(pairs.size() == 2);
  CHECK(pairs[0].a.sizes() == at::IntArrayRef({3, 4, 4}));
  CHECK(pairs[0].b.sizes() == at::IntArrayRef({3, 8, 8}));
  // The middle of the picture, beside whose height there are bars.
  CHECK(pairs[0].a[0][2][2].item<double>() == doctest::Approx(1.0));
  CHECK(pairs[0].b[2][4][4].item<double>() == doctest::Approx(-1.0));
  CHECK(pairs[1].a[2][2][2].item<double>() == doctest::Approx(1.0));
}

TEST_CASE("a batch is a function of its number, and pictures that cannot be read are named") {
  Pictures p;
  p.add("red.png", {255, 0, 0});
  p.folder.write("broken.png", std::string("no picture"));
  const BridgeSide a = side_of("a", 16, 64), b = side_of("b", 8, 64);
  data::Report report;
  const PairMaker maker(a, b, p.items, {.seed = 3}, resize);
  const auto first = maker.batch(5, 8, report), again = maker.batch(5, 8, report);
  REQUIRE(first.size() == again.size());
  for (size_t i = 0; i < first.size(); ++i) {
    CHECK(at::equal(first[i].a, again[i].a));
    CHECK(at::equal(first[i].b, again[i].b));
    CHECK((first[i].a_to_b || first[i].b_to_a));
  }
  CHECK(report.skipped == 0);
  p.items.front().bytes.path = p.folder.file("broken.png");
  CHECK(PairMaker(a, b, p.items, {}, resize).batch(0, 4, report).empty());
  CHECK(report.skipped > 0);
}

}  // namespace
}  // namespace pangu::train
