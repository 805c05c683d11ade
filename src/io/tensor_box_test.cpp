// Ranges of elements as boxes: held against counting element by element.
#include "io/tensor_box.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "io/weights_file.h"

using namespace pangu::io;
using Shape = std::vector<int64_t>;

namespace {

// The elements of a box in row-major order, as places in the memory of its tensor.
std::vector<int64_t> places_of(const TensorBox& box, const Shape& shape) {
  std::vector<int64_t> places;
  for (int64_t i = 0; i < element_count(box.sizes); ++i) {
    int64_t rest = i, place = 0, stride = 1;
    for (size_t axis = shape.size(); axis-- > 0;) {
      place += (box.offsets[axis] + rest % box.sizes[axis]) * stride;
      rest /= box.sizes[axis];
      stride *= shape[axis];
    }
    places.push_back(place);
  }
  return places;
}

}  // namespace

TEST_CASE("the boxes of a range hold its elements, each once and in order, and are few") {
  for (const Shape& shape : std::vector<Shape>{{},
                                               {1},
                                               {7},
                                               {1, 1, 5},
                                               {3, 4},
                                               {1, 9},
                                               {9, 1},
                                               {3, 1, 4},
                                               {2, 3, 4},
                                               {3, 2, 3, 3},
                                               {2, 1, 3, 1, 2}}) {
    const int64_t count = element_count(shape);
    const auto long_axes = std::count_if(shape.begin(), shape.end(), [](auto n) { return n > 1; });
    const size_t most = long_axes == 0 ? 1 : size_t(2 * long_axes - 1);
    for (int64_t begin = 0; begin <= count; ++begin) {
      for (int64_t end = begin; end <= count; ++end) {
        std::vector<int64_t> places;
        const std::vector<TensorBox> boxes = boxes_of_range(shape, begin, end);
        for (const TensorBox& box : boxes) {
          REQUIRE(box.sizes.size() == shape.size());
          for (const int64_t place : places_of(box, shape)) places.push_back(place);
        }
        REQUIRE(int64_t(places.size()) == end - begin);
        for (size_t i = 0; i < places.size(); ++i) REQUIRE(places[i] == begin + int64_t(i));
        REQUIRE(boxes.size() <= most);
      }
    }
  }
}

TEST_CASE("a range of rows is one box, a range within rows has a beginning, a middle and an end") {
  CHECK(boxes_of_range({5, 6}, 6, 24) == std::vector<TensorBox>{{{1, 0}, {3, 6}}});
  CHECK(boxes_of_range({5, 6}, 4, 26) ==
        std::vector<TensorBox>{{{0, 4}, {1, 2}}, {{1, 0}, {3, 6}}, {{4, 0}, {1, 2}}});
  CHECK(boxes_of_range({}, 0, 1) == std::vector<TensorBox>{{{}, {}}});
  CHECK(boxes_of_range({5, 6}, 7, 7).empty());
  CHECK(boxes_of_range({0, 6}, 0, 0).empty());
}

TEST_CASE("what two boxes have in common") {
  const TensorBox a{{1, 2}, {3, 4}};
  CHECK(common_box(a, {{2, 0}, {5, 3}}) == TensorBox{{2, 2}, {2, 1}});
  CHECK(element_count(common_box(a, {{4, 0}, {1, 9}}).sizes) == 0);
  CHECK(common_box({{}, {}}, {{}, {}}) == TensorBox{});
}
