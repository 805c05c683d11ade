// Tests the stored forms of frozen weights (4-bit blocks, 8-bit with a range, plain) and the
// refusals.
#include "nn/frozen_weights.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include "core/error.h"

namespace pangu::nn {
namespace {

TEST_CASE("a 4-bit block holds weights j and j+16 in the nibbles of byte j") {
  at::Tensor codes = at::zeros({2, 32}, at::kByte);  // two rows of two blocks
  auto bytes = codes.accessor<uint8_t, 2>();
  bytes[0][0] = 0xF0;        // weight 0 is (0-8), weight 16 is (15-8)
  bytes[1][16 + 15] = 0x19;  // row 1, block 1: weight 32+15 is (9-8), weight 32+31 is (1-8)
  const at::Tensor scales = at::tensor({0.5F, 1.0F, 2.0F, 0.25F}).view({2, 2}).to(at::kHalf);
  const at::Tensor out = dequantise_q4(codes, scales);
  REQUIRE(out.sizes() == at::IntArrayRef({2, 64}));
  CHECK(out[0][0].item<float>() == -4.0F);
  CHECK(out[0][16].item<float>() == 3.5F);
  CHECK(out[0][1].item<float>() == -4.0F);
  CHECK(out[0][40].item<float>() == -8.0F);
  CHECK(out[1][47].item<float>() == 0.25F);
  CHECK(out[1][63].item<float>() == -1.75F);
}

TEST_CASE("each stored form reads as f32 of the expected shape") {
  TensorMap map;
  map["plain"] = at::full({2, 3}, 1.5).to(at::kBFloat16);
  map["bytes_u8"] = at::tensor({0, 10, 255}, at::kByte);
  map["bytes_range"] = at::tensor({0.5F, -1.0F});
  map["blocks_packed"] = at::full({1, 16}, 0x99, at::kByte);
  map["blocks_scale"] = at::full({1, 1}, 2.0).to(at::kHalf);
  const FrozenWeights weights(map);
  CHECK(at::equal(weights.get("plain", {2, 3}), at::full({2, 3}, 1.5F)));
  CHECK(at::equal(weights.get("bytes", {3}), at::tensor({-1.0F, 4.0F, 126.5F})));
  map["rows_u8"] = at::tensor({0, 10, 255, 2}, at::kByte).view({2, 1, 2});
  map["rows_range"] = at::tensor({0.5F, -1.0F, 2.0F, 3.0F}).view({2, 2});
  CHECK(at::equal(weights.get("rows", {2, 1, 2}),
                  at::tensor({-1.0F, 4.0F, 513.0F, 7.0F}).view({2, 1, 2})));
  CHECK(at::equal(weights.get("blocks", {1, 32}), at::full({1, 32}, 2.0F)));
}

TEST_CASE("a missing or misshapen tensor is named with what was expected and found") {
  TensorMap map;
  map["a"] = at::zeros({2, 3});
  map["b_u8"] = at::zeros({4}, at::kByte);
  map["c_packed"] = at::zeros({1, 16}, at::kByte);
  map["c_scale"] = at::zeros({1, 2}, at::kHalf);
  const FrozenWeights weights(map);
  CHECK_THROWS_WITH_AS(weights.get("a", {3, 2}),
                       "tensor 'a': expected Float [3,2], found Float [2,3]", Error);
  CHECK_THROWS_WITH_AS(weights.get("b", {4}), "tensor 'b_range': expected F32 [2], found nothing",
                       Error);
  CHECK_THROWS_WITH_AS(weights.get("c", {1, 32}),
                       "tensor 'c_scale': expected Half [1,1], found Half [1,2]", Error);
  map["b_range"] = at::zeros({3, 2});
  CHECK_THROWS_WITH_AS(weights.get("b", {4}),
                       "tensor 'b_range': expected Float [4,2], found Float [3,2]", Error);
  CHECK_THROWS_AS(weights.get("nothing", {1}), Error);
}

}  // namespace
}  // namespace pangu::nn
