// --grid "steps=10,20,30 guidance=3,5,7": one picture for every pair of values, in a table with
// labels. Which values there are, and the requests of the cells; nothing is drawn here.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "pipeline/request.h"

namespace pangu::pipeline {

// The key of the axis whose values are models, beside the keys of a request.
inline constexpr const char* kModelAxis = "model";

struct GridAxis {
  std::string key;  // of a request, or kModelAxis
  std::vector<std::string> values;
  bool operator==(const GridAxis&) const = default;
};

struct Grid {
  std::vector<GridAxis> axes;  // columns, then rows if there are any

  size_t columns() const { return axes.front().values.size(); }
  size_t rows() const { return axes.size() > 1 ? axes[1].values.size() : 1; }
  // "steps 10" over every column, "guidance 3" before every row, which is empty without rows.
  std::vector<std::string> column_labels() const;
  std::vector<std::string> row_labels() const;
  // The request of a cell: `shared`, and the values of its column and row. Error kBadInput names
  // the key of a value that it cannot be.
  Request request_of(const Request& shared, size_t column, size_t row) const;
  // The model of a cell; empty without an axis of models.
  std::string model_of(size_t column, size_t row) const;
  bool operator==(const Grid&) const = default;
};

// Reads one or two "KEY=VALUE,VALUE,..."; KEY is the name of a flag of the request, of its field,
// or kModelAxis. A value in double quotes may hold commas. Error kBadInput says what is wrong, and
// which keys there are.
Grid grid_from(const std::string& text);

// Values of one axis, "10, 20" or, with commas in them, "\"a, b\", c", and the inverse. Error
// kBadInput for an empty value.
std::vector<std::string> grid_values_from(const std::string& text);
std::string grid_values_text(const std::vector<std::string>& values);

// [{"key", "values"}, ...], and the inverse, which refuses what grid_from refuses.
nlohmann::json to_json(const Grid& grid);
Grid grid_from_json(const nlohmann::json& json);

}  // namespace pangu::pipeline
