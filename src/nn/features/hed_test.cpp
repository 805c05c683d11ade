// Tests HED with random weights: shapes, the fusion of side outputs, refusals.
// tests/parity/hed_test.cpp compares its numbers.
#include "nn/features/hed.h"

#include <doctest/doctest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>

#include "core/testing.h"

namespace pangu::nn {
namespace {

TensorMap random_weights() {
  torch::manual_seed(3);
  constexpr std::array<std::array<int64_t, 3>, 13> convs = {{{0, 3, 64},
                                                             {2, 64, 64},
                                                             {5, 64, 128},
                                                             {7, 128, 128},
                                                             {10, 128, 256},
                                                             {12, 256, 256},
                                                             {14, 256, 256},
                                                             {17, 256, 512},
                                                             {19, 512, 512},
                                                             {21, 512, 512},
                                                             {24, 512, 512},
                                                             {26, 512, 512},
                                                             {28, 512, 512}}};
  TensorMap map;
  for (const auto& [index, in, out] : convs) {
    const std::string name = "features." + std::to_string(index);
    map[name + ".weight"] = at::randn({out, in, 3, 3}) * std::sqrt(2.0 / (9.0 * double(in)));
    map[name + ".bias"] = at::zeros({out});
  }
  const std::array<int64_t, 5> channels = {64, 128, 256, 512, 512};
  for (size_t b = 0; b < channels.size(); ++b) {
    const std::string name = "dsn" + std::to_string(b + 1);
    map[name + ".weight"] = at::randn({1, channels[b], 1, 1}) * 0.01;
    map[name + ".bias"] = at::full({1}, 0.1 * double(b));
  }
  map["fuse.weight"] = at::full({1, 5, 1, 1}, 0.2);
  map["fuse.bias"] = at::zeros({1});
  return map;
}

TEST_CASE("a fusion of equal weights is the mean of the side outputs, each of the picture's size") {
  const Hed hed(random_weights());
  for (const auto& [height, width] : {std::pair{16, 16}, {17, 33}, {40, 24}}) {
    const at::Tensor image = at::rand({2, 3, height, width}) * 2 - 1;
    const auto logits = hed.logits(image);
    REQUIRE(logits.size() == 6);
    const at::Tensor sides = at::cat(at::TensorList(logits).slice(0, 5), 1);
    CHECK(sides.sizes() == at::IntArrayRef({2, 5, height, width}));
    CHECK(at::allclose(logits[5], sides.mean(1, true), 1e-4, 1e-3));
    CHECK(at::equal(hed.edges(image), at::sigmoid(logits[5])));
  }
}

TEST_CASE("missing heads, wrong shapes and pictures below 16 pixels are refused") {
  TensorMap map = random_weights();
  const Hed hed(map);
  CHECK_THROWS_AS(hed.edges(at::zeros({1, 3, 15, 40})), Error);
  CHECK_THROWS_AS(hed.edges(at::zeros({3, 40, 40})), Error);
  map["dsn4.weight"] = at::zeros({1, 256, 1, 1});
  CHECK(contains(refusal_of([&] { Hed{map}; }), "dsn4.weight"));
  map.erase("dsn4.weight");
  CHECK(contains(refusal_of([&] { Hed{map}; }), "dsn4.weight"));
  CHECK(contains(refusal_of([] { Hed{TensorMap{}}; }), "features.0.weight"));
}

}  // namespace
}  // namespace pangu::nn
