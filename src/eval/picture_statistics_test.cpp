// Tests that parts merge to the whole, through files, and that what does not fit is refused.
#include "eval/picture_statistics.h"

#include <doctest/doctest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "core/testing.h"

namespace pangu::eval {
namespace {

constexpr int64_t kTotal = 30, kWidth = 6;

MeasuredSet small_set() {
  MeasuredSet set;
  set.total = kTotal;
  set.pictures = "names";
  set.weights = "weights";
  set.resize = "clean-fid";
  return set;
}

nn::FidFeatures features_of(int64_t first, int64_t count) {
  const at::Tensor i = at::arange(first, first + count, at::kFloat).unsqueeze(1);
  return {at::sin(i * 0.7 + at::arange(kWidth, at::kFloat)),
          at::cos(i + at::arange(4, at::kFloat))};
}

PictureStatistics measured(PictureRange range, int64_t end) {
  PictureStatistics statistics(small_set(), range);
  for (int64_t at = range.begin; at < end;) {
    const int64_t count = std::min<int64_t>(4, end - at);
    statistics.add(count, features_of(at, count), std::vector<double>(size_t(count), double(at)));
    at += count;
  }
  return statistics;
}

void check_equal(const PictureStatistics& a, const PictureStatistics& b) {
  CHECK(a.is_whole());
  CHECK(a.gaussian().count() == kTotal);
  CHECK(frechet_distance(a.gaussian(), b.gaussian()) < 1e-9);
  CHECK(a.inception_score().mean == doctest::Approx(b.inception_score().mean).epsilon(1e-12));
  CHECK(at::equal(a.kernel_rows(), b.kernel_rows()));
  CHECK(a.clip().count == kTotal);
}

TEST_CASE("shards merge to what one process measures, in any order and through files") {
  const TestFolder folder;
  const PictureStatistics whole = measured({0, kTotal}, kTotal);
  std::vector<PictureStatistics> parts;
  for (const int shard : {2, 0, 1}) {
    const PictureRange range = shard_of(kTotal, shard, 3);
    measured(range, range.end).save(folder.file("part.safetensors"));
    parts.push_back(PictureStatistics::load(folder.file("part.safetensors")));
  }
  check_equal(PictureStatistics::merged(parts, {"2", "0", "1"}), whole);
}

TEST_CASE("what was stopped goes on from its file as if it had not been stopped") {
  const TestFolder folder;
  measured({0, kTotal}, 13).save(folder.file("a.safetensors"));
  PictureStatistics found = PictureStatistics::load(folder.file("a.safetensors"));
  CHECK(found.next() == 13);
  CHECK_FALSE(found.is_complete());
  found.add(17, features_of(13, 17), std::vector<double>(17, 1.0));
  const PictureStatistics whole = measured({0, kTotal}, kTotal);
  check_equal(found, whole);
}

TEST_CASE("parts that are not done, of other sets, or apart are refused by name") {
  const auto refusal = [](std::vector<PictureStatistics> parts) {
    return refusal_of([&] { PictureStatistics::merged(parts, {"first", "second"}); });
  };
  const PictureStatistics first = measured({0, 10}, 10);
  CHECK(contains(refusal({first, measured({10, 30}, 14)}), "4 of 20"));
  CHECK(contains(refusal({first, measured({20, 30}, 30)}), "from picture 20"));
  CHECK(contains(refusal({first, first}), "from picture 0"));
  MeasuredSet other = small_set();
  other.resize = "torch-fidelity";
  PictureStatistics foreign(other, {10, 30});
  foreign.add(20, features_of(10, 20), {});
  CHECK(contains(refusal({first, foreign}), "another resizing"));
}

TEST_CASE("other files are no statistics") {
  const TestFolder folder;
  const std::string file = folder.write("a.safetensors", std::string("\x02\0\0\0\0\0\0\0{}", 10));
  CHECK(contains(refusal_of([&] { PictureStatistics::load(file); }), "eval pictures"));
}

TEST_CASE("moments go through an .npz with mu and sigma") {
  const TestFolder folder;
  const PictureStatistics whole = measured({0, kTotal}, kTotal);
  save_moments(folder.file("a.npz"), whole.gaussian());
  const FeatureGaussian found = load_moments(folder.file("a.npz"));
  CHECK(at::allclose(found.mean(), whole.gaussian().mean()));
  CHECK(at::allclose(found.covariance(), whole.gaussian().covariance()));
  CHECK(frechet_distance(found, whole.gaussian()) < 1e-9);
  const std::string other = std::string(kSourceDir) + "/tests/fuzz/corpus/pytorch_file/zip.pth";
  CHECK(refusal_of([&] { load_moments(other); }) != "accepted");
}

TEST_CASE("of a set above the limit KID keeps so many features, at equal distances") {
  MeasuredSet set = small_set();
  set.total = 2 * kMostKernelRows;
  PictureStatistics statistics(set, {100, 110});
  statistics.add(10, features_of(100, 10), {});
  CHECK(at::equal(statistics.kernel_rows(), features_of(100, 10).pooled.slice(0, 1, 10, 2)));
}

}  // namespace
}  // namespace pangu::eval
