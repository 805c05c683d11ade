#include "pipeline/grid.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "core/testing.h"

using namespace pangu;
using namespace pangu::pipeline;

TEST_CASE("a grid has the values of its axes in the requests of its cells") {
  const Grid grid = grid_from("steps=10,20,30 guidance=3, 5.5");
  CHECK(grid.columns() == 3);
  CHECK(grid.rows() == 2);
  CHECK(grid.column_labels()[2] == "steps 30");
  CHECK(grid.row_labels()[1] == "guidance 5.5");
  Request shared;
  shared.prompt = "a cat";
  const Request cell = grid.request_of(shared, 2, 1);
  CHECK(cell.steps == 30);
  CHECK(cell.guidance == 5.5);
  CHECK(cell.prompt == "a cat");
  CHECK(grid.model_of(2, 1).empty());
}

TEST_CASE("an axis may be alone, and have values of several words") {
  const Grid grid = grid_from("prompt=a red fox,a dog");
  CHECK(grid.rows() == 1);
  CHECK(grid.row_labels() == std::vector<std::string>{""});
  CHECK(grid.request_of({}, 0, 0).prompt == "a red fox");
  CHECK(grid_from("s-noise=0,1").axes[0].key == "s_noise");
  const Grid styles = grid_from("style=3d,flat:2");
  CHECK(styles.column_labels() == std::vector<std::string>{"style 3d", "style flat:2"});
  CHECK(styles.request_of({}, 1, 0).styles == std::vector<std::string>{"flat:2"});
}

TEST_CASE("values in quotes hold commas") {
  const Grid grid = grid_from("prompt=\"a fox, in snow\",a dog steps=2,4");
  CHECK(grid.axes[0].values == std::vector<std::string>{"a fox, in snow", "a dog"});
  CHECK(grid.rows() == 2);
  CHECK(grid_values_from(grid_values_text(grid.axes[0].values)) == grid.axes[0].values);
}

TEST_CASE("an axis of models says the model of each cell, and labels it by its last name") {
  const Grid grid = grid_from("steps=2,4 model=mini,shelf/v1.5.safetensors,other/sd-2.1/");
  CHECK(grid.model_of(0, 1) == "shelf/v1.5.safetensors");
  CHECK(grid.row_labels() == std::vector<std::string>{"model mini", "model v1.5", "model sd-2.1"});
  CHECK(grid.request_of({}, 1, 2).steps == 4);
  CHECK(grid_from("model=a,b").model_of(1, 0) == "b");
}

TEST_CASE("a grid is read back from its JSON, and a damaged one is refused") {
  const Grid grid = grid_from("cfg=1,2 seed=3,4");
  CHECK(grid_from_json(to_json(grid)) == grid);
  for (const char* text :
       {"3", "[]", "[{}]", R"([{"key": "steps", "values": [1]}])",
        R"([{"key": "steps", "values": []}])", R"([{"key": "x", "values": ["1"]}])"}) {
    CHECK(refusal_of([&] { grid_from_json(nlohmann::json::parse(text)); }) != "accepted");
  }
}

TEST_CASE("a wrong grid is refused with what it may be") {
  for (const auto& [text, words] : std::vector<std::pair<std::string, std::string>>{
           {"", "KEY=VALUE"},
           {"steps", "KEY=VALUE"},
           {"steps=", "values"},
           {"steps=1,,2", "a value"},
           {"stepz=1,2", "did you mean 'steps'"},
           {"count=1,2", "one of model, prompt"},
           {"steps=1 steps=2", "twice"},
           {"steps=1 guidance=2 seed=3", "once or twice"}}) {
    CHECK_MESSAGE(contains(refusal_of([&] { grid_from(text); }), words), text);
  }
  const Grid grid = grid_from("steps=many");
  CHECK(contains(refusal_of([&] { grid.request_of({}, 0, 0); }), "steps"));
}
