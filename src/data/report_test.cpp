#include "data/report.h"

#include <doctest/doctest.h>

#include "core/testing.h"

using namespace pangu;
using namespace pangu::data;

TEST_CASE("what is left out is told by its reasons, so that none hides behind another") {
  Report report;
  for (int i = 0; i < 30; ++i) report.skip("a" + std::to_string(i) + ".jpg", "bytes of no picture");
  report.skip("b.png", "no caption");
  report.warn("c.png", "two captions");
  CHECK(report.skipped == 31);
  CHECK(report.details() ==
        "\n  skipped 30: bytes of no picture: a0.jpg, a1.jpg, a2.jpg, a3.jpg, a4.jpg and 25 more"
        "\n  skipped b.png: no caption"
        "\n  warning c.png: two captions");
  CHECK(report.text().starts_with("0 kept, 31 skipped, 1 warning\n"));
}

TEST_CASE("more reasons than are remembered are counted") {
  Report report;
  for (size_t i = 0; i < Report::kReasonsKept + 3; ++i) report.skip("a", std::to_string(i));
  CHECK(report.details().ends_with("\n  skipped 3 for other reasons"));
}

TEST_CASE("an error about a dataset has all of what was left out below it") {
  Report report;
  report.skip("a.jpg", std::string(1000, 'x'));
  const Error error = with_details(bad_input("dataset", "pictures", "none"), report);
  CHECK(error.code() == ErrorCode::kBadInput);
  CHECK(contains(error.what(), "found none\n  skipped a.jpg: " + std::string(1000, 'x')));
}
