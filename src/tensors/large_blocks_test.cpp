#include "tensors/large_blocks.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <vector>

namespace pangu::tensors {
namespace {

// The number of f32 in so many large blocks.
int64_t numbers(size_t blocks) { return static_cast<int64_t>(blocks * kLargeBlock / 4); }

TEST_CASE("memory of a large tensor is given out again, up to a limit; a small one is libtorch's") {
  const at::Tensor before = at::ones({numbers(2)});  // of the allocator that was there before
  keep_large_blocks(4 * kLargeBlock);
  at::Tensor first = at::full({numbers(2)}, 7.0f);
  const void* const address = first.const_data_ptr();
  first.reset();
  const at::Tensor second = at::full({numbers(2)}, 8.0f);
  CHECK(second.const_data_ptr() == address);
  CHECK(second.sum().item<float>() == 8.0f * float(numbers(2)));
  const at::Tensor third = at::full({numbers(2)}, 9.0f);  // the first one is in use
  CHECK(third.const_data_ptr() != address);
  CHECK(second.eq(8).all().item<bool>());

  // More than is kept, and sizes of every kind, freed in another order than they came in.
  std::vector<at::Tensor> many;
  for (int64_t i = 1; i < 40; ++i) many.push_back(at::full({i * 100'003}, double(i)));
  for (size_t i = 0; i < many.size(); i += 2) many[i].reset();
  for (size_t i = 1; i < many.size(); i += 2) {
    REQUIRE(many[i].eq(double(i + 1)).all().item<bool>());
  }
  many.clear();
  let_go_of_kept_blocks();
  CHECK(before.eq(1).all().item<bool>());
  at::Tensor grown = at::ones({4});
  grown.resize_({numbers(3)});
  CHECK(grown.slice(0, 0, 4).eq(1).all().item<bool>());
  // Products in bf16 by libtorch's own library, which asks for memory itself.
  const at::Tensor matrix = at::ones({2048, 2048}, at::kBFloat16);
  CHECK(at::mm(matrix, matrix).eq(2048).all().item<bool>());
}

}  // namespace
}  // namespace pangu::tensors
