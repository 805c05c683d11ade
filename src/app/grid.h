// --grid "steps=10,20,30 guidance=3,5,7": one picture for every pair of values, in a table with
// labels. Which values there are; drawing them is cmd_draw's.
#pragma once
#include <string>
#include <vector>

#include "pipeline/request.h"

namespace pangu::app {

struct GridAxis {
  std::string key;  // of a request
  std::vector<std::string> values;
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
  pipeline::Request request_of(const pipeline::Request& shared, size_t column, size_t row) const;
};

// One or two "KEY=VALUE,VALUE,..."; KEY is the name of a flag of the request or of its field.
// Error kBadInput says what is wrong, and which keys there are.
Grid grid_from(const std::string& text);

}  // namespace pangu::app
