// Parts of a state: what processes write is the whole state, each element once, and what they read
// back is theirs.
#include "train/state_parts.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "core/testing.h"

using namespace pangu;
using namespace pangu::train;

namespace {

LazyTensor lazy(const at::Tensor& t) {
  return {t.scalar_type(), t.sizes().vec(), [t] { return t; }};
}

at::Tensor narrowed(at::Tensor whole, const io::TensorBox& box) {
  for (size_t k = 0; k < box.sizes.size(); ++k) {
    whole = whole.narrow(int64_t(k), box.offsets[k], box.sizes[k]);
  }
  return whole;
}

}  // namespace

TEST_CASE(
    "ranges of a parameter's memory, in any layout, become boxes of the whole and come back") {
  const at::Tensor numbers = at::arange(2 * 3 * 5 * 4, at::kFloat);
  const std::vector<at::Tensor> params = {
      numbers.view({120}),
      numbers.view({2, 60}),
      numbers.view({2, 3, 5, 4}),
      numbers.view({2, 3, 5, 4}).contiguous(at::MemoryFormat::ChannelsLast),
      numbers.view({60, 2}).t(),
      numbers.view({1, 120, 1, 1}),
      numbers.slice(0, 0, 1).view(at::IntArrayRef{}),
  };
  for (const at::Tensor& param : params) {
    for (const int64_t processes : {1, 2, 7, 200}) {  // 200: more than there are elements
      const int64_t count = param.numel();
      at::Tensor whole = at::full(param.sizes(), -1.0);
      int64_t written = 0;
      const StoredTensor stored{at::kFloat, param.sizes().vec(),
                                [&](const io::TensorBox& box, const at::Tensor& into) {
                                  into.copy_(narrowed(whole, box));
                                }};
      std::vector<std::pair<FlatPart, at::Tensor>> ranges;
      for (int64_t rank = 0; rank < processes; ++rank) {
        const FlatPart part{count * rank / processes, count * (rank + 1) / processes};
        const at::Tensor range = flat_view(param).slice(0, part.begin, part.end);
        ranges.emplace_back(part, range);
        for (const StatePart& one : parts_of_range("p", lazy(range), param, part)) {
          const at::Tensor made = one.tensor.make();
          CHECK(made.is_contiguous());
          CHECK(made.sizes() == at::IntArrayRef(one.box.sizes));
          CHECK(made.sizes() == at::IntArrayRef(one.tensor.shape));
          narrowed(whole, one.box).copy_(made);
          written += made.numel();
        }
      }
      CHECK(written == count);
      CHECK(at::equal(whole, param));
      for (const auto& [part, range] : ranges) {
        CHECK(at::equal(range_of(stored, param, part).make(), range));
      }
    }
  }
}

TEST_CASE("whole tensors are shared out once each, by their bytes") {
  LazyTensors state;
  for (int i = 1; i <= 9; ++i) state["t" + std::to_string(i)] = lazy(at::ones({i, 100}));
  state["scalar"] = lazy(at::scalar_tensor(3.0));
  for (const int processes : {1, 3, 20}) {
    std::map<std::string, int> seen;
    for (int rank = 0; rank < processes; ++rank) {
      int64_t elements = 0;
      for (const StatePart& part : share_of(state, rank, processes)) {
        ++seen[part.name];
        elements += part.tensor.make().numel();
        CHECK(part.box == io::whole_box(part.tensor.shape));
      }
      if (processes == 3) CHECK(std::abs(elements - 1500) <= 100);
    }
    CHECK(seen.size() == state.size());
    for (const auto& [name, times] : seen) CHECK(times == 1);
  }
}
