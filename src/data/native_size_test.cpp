// Native sizes by lot, and what they do to items and their pictures.
#include "data/native_size.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <map>

#include "core/testing.h"
#include "data/dataset.h"
#include "image/image.h"

using namespace pangu;
using namespace pangu::data;

namespace {

// All of them against those of at least half of 256 px: 37 / 25 = 1.48.
const SizeHistogram kLikeThePaper{{64, 96, 128, 192, 256}, {6, 6, 8, 7, 10}};

Item named(const std::string& id, int width, int height) {
  Item item;
  item.id = id;
  item.width = width;
  item.height = height;
  item.part = "high";
  return item;
}

TEST_CASE("shares of a histogram add up exactly") {
  CHECK(share_of_at_least(kLikeThePaper, 1) == 1.0);
  CHECK(1 / share_of_at_least(kLikeThePaper, 128) == doctest::Approx(1.48).epsilon(1e-12));
  CHECK(share_of_at_least(kLikeThePaper, 129) == doctest::Approx(17.0 / 37));
  CHECK(share_of_at_least(kLikeThePaper, 257) == 0.0);
}

TEST_CASE("sizes drawn by hash follow the histogram") {
  std::map<int64_t, int> count;
  constexpr int kPictures = 37'000;
  for (int i = 0; i < kPictures; ++i) {
    ++count[native_size_px(kLikeThePaper, "images/" + std::to_string(i))];
  }
  REQUIRE(count.size() == kLikeThePaper.sizes_px.size());
  for (size_t i = 0; i < kLikeThePaper.shares.size(); ++i) {
    // The deviation of a binomial count of these shares is below 90.
    CHECK(std::abs(count[kLikeThePaper.sizes_px[i]] - 1000 * int(kLikeThePaper.shares[i])) < 400);
  }
}

TEST_CASE("a picture's native size depends on its name alone") {
  std::vector<Item> few = {named("b", 256, 256)};
  std::vector<Item> many = {named("a", 256, 256), named("b", 256, 256), named("c", 256, 256)};
  limit_sizes(kLikeThePaper, few);
  limit_sizes(kLikeThePaper, many);
  CHECK(few[0].width == many[1].width);
}

TEST_CASE("items become as small as their lot and no larger than they were") {
  std::vector<Item> items = {named("wide", 512, 256), named("tiny", 40, 50)};
  limit_sizes({{64}, {1}}, items);
  CHECK(items[0].stored_px == 64);
  CHECK(items[0].width == 128);
  CHECK(items[0].height == 64);
  CHECK(items[0].part == "low");
  CHECK(items[1].stored_px == 0);
  CHECK(items[1].width == 40);
  CHECK(items[1].part == "high");
  std::vector<Item> same = {named("wide", 512, 256)};
  limit_sizes({}, same);
  CHECK(same[0].width == 512);
}

TEST_CASE("a picture that is stored small is read small") {
  const TestFolder folder;
  Item item = named("wide", 100, 50);
  item.bytes.path =
      folder.write("wide.png", image::encode_png(image::filled(100, 50, {200, 30, 10})));
  std::vector<Item> items = {item};
  limit_sizes({{20}, {1}}, items);
  const image::Image picture = load_image(items[0]);
  CHECK(picture.width == 40);
  CHECK(picture.height == 20);
  CHECK(load_image(item).width == 100);
}

TEST_CASE("a histogram that is none is refused") {
  const auto refuses = [](const SizeHistogram& h) {
    CHECK(contains(refusal_of([&] { h.validate("native_sizes"); }), "native_sizes: expected"));
  };
  refuses({{64, 128}, {1}});
  refuses({{128, 64}, {1, 1}});
  refuses({{0}, {1}});
  refuses({{64}, {0}});
  SizeHistogram{}.validate("native_sizes");
  kLikeThePaper.validate("native_sizes");
}

}  // namespace
