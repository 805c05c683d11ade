// The fit and the crossing by which costs at equal quality are read.
#include "study/curve.h"

#include <doctest/doctest.h>

namespace pangu::study {
namespace {

using Points = std::vector<CurvePoint>;

TEST_CASE("a falling curve is its own fit, and a bump is averaged away") {
  CHECK((falling_fit({{1, 9}, {2, 5}, {4, 3}}) == Points{{1, 9}, {2, 5}, {4, 3}}));
  CHECK((falling_fit({{4, 4}, {1, 9}, {2, 2}}) == Points{{1, 9}, {2, 3}, {4, 3}}));
  CHECK((falling_fit({{1, 1}, {2, 2}, {4, 6}}) == Points{{1, 3}, {2, 3}, {4, 3}}));
  CHECK(falling_fit({}).empty());
}

TEST_CASE("seeds at the same cost are averaged before the fit") {
  CHECK((falling_fit({{1, 8}, {1, 10}, {2, 5}}) == Points{{1, 9}, {2, 5}}));
}

TEST_CASE("a level between two points is reached between their costs, on a logarithmic axis") {
  const Points curve = {{1, 10}, {100, 0}};
  CHECK(cost_at_level(curve, 5)->cost == doctest::Approx(10));
  CHECK(cost_at_level(curve, 0)->cost == doctest::Approx(100));
  CHECK(cost_at_level(curve, 10)->cost == doctest::Approx(1));
  CHECK_FALSE(cost_at_level(curve, 10)->is_bound);
}

TEST_CASE("a level above the first point was reached there or before, which is only a bound") {
  const Points curve = {{1, 10}, {100, 0}};
  CHECK(cost_at_level(curve, 11)->cost == doctest::Approx(1));
  CHECK(cost_at_level(curve, 11)->is_bound);
}

TEST_CASE("a level below the last point is not reached, whatever the trend") {
  CHECK_FALSE(cost_at_level({{1, 10}, {100, 1}}, 0.99).has_value());
  CHECK_FALSE(cost_at_level({}, 1).has_value());
}

TEST_CASE("a curve that rests on a level reaches it at the rest's first point") {
  CHECK(cost_at_level({{1, 10}, {2, 4}, {4, 4}}, 4)->cost == doctest::Approx(2));
}

}  // namespace
}  // namespace pangu::study
