#include "app/grid.h"

#include <algorithm>
#include <sstream>

#include "core/error.h"
#include "core/message.h"
#include "core/nearest.h"
#include "pipeline/request_fields.h"

namespace pangu::app {
namespace {

constexpr size_t kMostAxes = 2;
constexpr size_t kMostCells = 400;

// A field that one word says, and that a cell can have of its own.
bool can_vary(const pipeline::RequestField& field) {
  return !field.flag.empty() && field.words == pipeline::FieldWords::kOne && field.key != "count";
}

// "guidance", "guidance-low", "cfg": a field's key, its flag, or another spelling of that.
const pipeline::RequestField* field_called(const std::string& name) {
  for (const pipeline::RequestField& field : pipeline::request_fields()) {
    if (!can_vary(field)) continue;
    std::vector<std::string> flags = field.also;
    flags.push_back(field.flag);
    if (field.key == name) return &field;
    if (std::find(flags.begin(), flags.end(), "--" + name) != flags.end()) return &field;
  }
  return nullptr;
}

const pipeline::RequestField& known_field(const std::string& name) {
  if (const auto* field = field_called(name)) return *field;
  std::string list;
  std::vector<std::string> keys;
  for (const pipeline::RequestField& field : pipeline::request_fields()) {
    if (!can_vary(field)) continue;
    list += (list.empty() ? "one of " : ", ") + field.key;
    keys.push_back(field.key);
  }
  throw bad_input("--grid", list, "'" + shortened(name) + "'", did_you_mean(name, keys));
}

// Where "KEY=" begins in words that are parted by blanks.
bool begins_axis(const std::string& word) {
  const size_t equals = word.find('=');
  return equals != std::string::npos && equals > 0 &&
         word.substr(0, equals).find_first_not_of("abcdefghijklmnopqrstuvwxyz_-") ==
             std::string::npos;
}

std::vector<std::string> labels_of(const GridAxis& axis) {
  std::vector<std::string> labels;
  for (const std::string& value : axis.values) labels.push_back(axis.key + " " + value);
  return labels;
}

}  // namespace

std::vector<std::string> Grid::column_labels() const { return labels_of(axes.front()); }

std::vector<std::string> Grid::row_labels() const {
  return axes.size() > 1 ? labels_of(axes[1]) : std::vector<std::string>{""};
}

pipeline::Request Grid::request_of(const pipeline::Request& shared, size_t column,
                                   size_t row) const {
  pipeline::RequestWords words = {{axes.front().key, {axes.front().values[column]}}};
  if (axes.size() > 1) words[axes[1].key] = {axes[1].values[row]};
  pipeline::Request request = shared;
  pipeline::apply(words, request);
  return request;
}

Grid grid_from(const std::string& text) {
  const char* const form = "KEY=VALUE,VALUE,... once or twice, parted by blanks";
  std::istringstream words(text);
  std::vector<std::string> said;
  for (std::string word; words >> word;) {
    if (begins_axis(word)) {
      said.push_back(word);
    } else if (said.empty()) {
      throw bad_input("--grid", form, "'" + shortened(text) + "'");
    } else {
      said.back() += " " + word;  // a value of several words
    }
  }
  if (said.empty() || said.size() > kMostAxes) {
    throw bad_input("--grid", form, "'" + shortened(text) + "'");
  }
  Grid grid;
  for (const std::string& axis_text : said) {
    const size_t equals = axis_text.find('=');
    GridAxis axis{known_field(axis_text.substr(0, equals)).key, {}};
    std::istringstream values(axis_text.substr(equals + 1));
    for (std::string value; std::getline(values, value, ',');) {
      const size_t first = value.find_first_not_of(' ');
      if (first == std::string::npos) throw bad_input("--grid, " + axis.key, "a value", "nothing");
      axis.values.push_back(value.substr(first, value.find_last_not_of(' ') - first + 1));
    }
    if (axis.values.empty()) throw bad_input("--grid, " + axis.key, "values", "none");
    grid.axes.push_back(std::move(axis));
  }
  if (grid.axes.size() > 1 && grid.axes[0].key == grid.axes[1].key) {
    throw bad_input("--grid", "two different keys", "'" + grid.axes[0].key + "' twice");
  }
  if (grid.columns() * grid.rows() > kMostCells) {
    throw bad_input("--grid", "at most " + std::to_string(kMostCells) + " pictures",
                    std::to_string(grid.columns() * grid.rows()));
  }
  return grid;
}

}  // namespace pangu::app
