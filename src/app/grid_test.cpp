#include "app/grid.h"

#include <doctest/doctest.h>

#include "core/testing.h"

using namespace pangu;
using namespace pangu::app;

TEST_CASE("a grid has the values of its axes in the requests of its cells") {
  const Grid grid = grid_from("steps=10,20,30 guidance=3, 5.5");
  CHECK(grid.columns() == 3);
  CHECK(grid.rows() == 2);
  CHECK(grid.column_labels()[2] == "steps 30");
  CHECK(grid.row_labels()[1] == "guidance 5.5");
  pipeline::Request shared;
  shared.prompt = "a cat";
  const pipeline::Request cell = grid.request_of(shared, 2, 1);
  CHECK(cell.steps == 30);
  CHECK(cell.guidance == 5.5);
  CHECK(cell.prompt == "a cat");
}

TEST_CASE("an axis may be alone, and have values of several words") {
  const Grid grid = grid_from("prompt=a red fox,a dog");
  CHECK(grid.rows() == 1);
  CHECK(grid.row_labels() == std::vector<std::string>{""});
  CHECK(grid.request_of({}, 0, 0).prompt == "a red fox");
  CHECK(grid_from("s-noise=0,1").axes[0].key == "s_noise");
}

TEST_CASE("a wrong grid is refused with what it may be") {
  for (const auto& [text, words] : std::vector<std::pair<std::string, std::string>>{
           {"", "KEY=VALUE"},
           {"steps", "KEY=VALUE"},
           {"steps=", "values"},
           {"steps=1,,2", "a value"},
           {"stepz=1,2", "did you mean 'steps'"},
           {"count=1,2", "one of prompt"},
           {"steps=1 steps=2", "twice"},
           {"steps=1 guidance=2 seed=3", "once or twice"}}) {
    CHECK_MESSAGE(contains(refusal_of([&] { grid_from(text); }), words), text);
  }
  const Grid grid = grid_from("steps=many");
  CHECK(contains(refusal_of([&] { grid.request_of({}, 0, 0); }), "steps"));
}
