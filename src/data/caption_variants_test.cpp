#include "data/caption_variants.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

namespace pangu::data {
namespace {

TEST_CASE("shuffled captions keep the tags at the front, and lose none") {
  const CaptionChanges changes{.shuffle_caption = true, .keep_tokens = 1};
  std::set<std::string> seen;
  for (const std::string& one : caption_variants("sks fox, red, sitting,snow ", changes, 50)) {
    CHECK(one.starts_with("sks fox, "));
    for (const char* tag : {"red", "sitting", "snow"}) CHECK(one.find(tag) != std::string::npos);
    seen.insert(one);
  }
  CHECK(seen.size() == 6);
}

TEST_CASE("a mark parts the tags that stay from those that move") {
  const CaptionChanges changes{.shuffle_caption = true};
  std::set<std::string> seen;
  for (const std::string& one : caption_variants("a, b ||| c, d", changes, 30)) seen.insert(one);
  CHECK(seen == std::set<std::string>{"a, b, c, d", "a, b, d, c"});
}

TEST_CASE("tags are left out at their rate, those that stay never") {
  const CaptionChanges changes{.keep_tokens = 1, .caption_tag_dropout_rate = 0.25};
  int kept = 0;
  const int count = 4000;
  for (const std::string& one : caption_variants("a, b", changes, count)) {
    CHECK(one.starts_with("a"));
    kept += one == "a, b";
  }
  // Five deviations of a binomial distribution.
  CHECK(std::abs(kept - 0.75 * count) < 5 * std::sqrt(count * 0.25 * 0.75));
}

TEST_CASE("variants are the same for the same seed, and a caption without changes is left alone") {
  const CaptionChanges changes{.shuffle_caption = true, .seed = 4};
  CHECK(caption_variants("a, b, c, d", changes, 9) == caption_variants("a, b, c, d", changes, 9));
  std::vector<Item> items(1);
  items[0].captions_en = {"b,a"};
  vary_captions(items, {}, 9);
  CHECK(items[0].captions_en == std::vector<std::string>{"b,a"});
  vary_captions(items, changes, 9);
  CHECK(items[0].captions_en.size() == 9);
}

}  // namespace
}  // namespace pangu::data
