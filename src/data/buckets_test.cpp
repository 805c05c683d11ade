#include "data/buckets.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <set>

#include "core/error.h"

using namespace pangu;
using namespace pangu::data;

TEST_CASE("buckets are the known ones of 512 px with steps of 64") {
  // kohya sd-scripts, model_util.make_bucket_resolutions((512, 512), 256, 1024, 64).
  const std::vector<Bucket> known = {{256, 832}, {256, 896}, {256, 960}, {256, 1024}, {320, 704},
                                     {320, 768}, {384, 640}, {448, 576}, {512, 512},  {576, 448},
                                     {640, 384}, {704, 320}, {768, 320}, {832, 256},  {896, 256},
                                     {960, 256}, {1024, 256}};
  CHECK(make_buckets({512, 256, 1024, 64}) == known);
}

TEST_CASE("buckets of 256 px hold the shapes that the model draws") {
  const auto buckets = make_buckets({});
  CHECK(std::is_sorted(buckets.begin(), buckets.end()));
  for (const Bucket wanted : {Bucket{256, 256}, {192, 320}, {320, 192}}) {
    CHECK(std::count(buckets.begin(), buckets.end(), wanted) == 1);
  }
  for (const Bucket& bucket : buckets) {
    CHECK(bucket.width * bucket.height <= 256 * 256);
    CHECK(bucket.width % 64 == 0);
    CHECK(bucket.height % 64 == 0);
  }
}

TEST_CASE("a picture goes to the bucket of its own size, else of the nearest shape") {
  const auto buckets = make_buckets({});
  const auto at = [&](int width, int height) {
    return buckets[assign_bucket(buckets, width, height)];
  };
  CHECK(at(1024, 1024) == Bucket{256, 256});
  CHECK(at(136, 128) == Bucket{256, 256});
  CHECK(at(320, 192) == Bucket{320, 192});
  CHECK(at(1200, 720) == Bucket{320, 192});
  CHECK(at(720, 1200) == Bucket{192, 320});
  CHECK(at(1, 1000) == Bucket{128, 512});
  CHECK(at(1000, 1) == Bucket{512, 128});
}

TEST_CASE("impossible options are refused") {
  CHECK_THROWS_AS(make_buckets({0, 128, 512, 64}), Error);
  CHECK_THROWS_AS(make_buckets({256, 512, 128, 64}), Error);
  CHECK_THROWS_AS(make_buckets({256, 128, 512, 0}), Error);
  CHECK_THROWS_AS(make_buckets({32, 64, 64, 64}), Error);
}
