#include "pipeline/grid.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "core/message.h"
#include "core/nearest.h"
#include "core/quoted.h"
#include "pipeline/request_fields.h"

namespace pangu::pipeline {
namespace {

constexpr size_t kMostAxes = 2;
constexpr size_t kMostCells = 400;

// A field that a word says, and that a cell can have of its own.
bool can_vary(const RequestField& field) {
  return !field.flag.empty() && field.words != FieldWords::kNone && field.key != "count";
}

// "guidance", "guidance-low", "cfg": a field's key, its flag, or another spelling of that.
std::string axis_key(const std::string& name) {
  if (name == kModelAxis) return name;
  const RequestField* field = find_request_field(name);
  if (!field) field = find_request_flag("--" + name);
  if (field && can_vary(*field)) return field->key;
  std::vector<std::string> keys = {kModelAxis};
  for (const RequestField& one : request_fields()) {
    if (can_vary(one)) keys.push_back(one.key);
  }
  std::string list;
  for (const std::string& key : keys) list += (list.empty() ? "one of " : ", ") + key;
  throw bad_input("--grid", list, "'" + shortened(name) + "'", did_you_mean(name, keys));
}

std::string trimmed_blanks(const std::string& text) {
  const size_t first = text.find_first_not_of(' ');
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// Whether "KEY=" begins in a word.
bool begins_axis(const std::string& word) {
  const size_t equals = word.find('=');
  return equals != std::string::npos && equals > 0 &&
         word.substr(0, equals).find_first_not_of("abcdefghijklmnopqrstuvwxyz_-") ==
             std::string::npos;
}

// A model's file or folder by its last name.
std::string axis_label(const std::string& key, const std::string& value) {
  if (const RequestField* field = find_request_field(key)) {
    return field->flag.substr(2) + " " + value;  // without its dashes
  }
  std::filesystem::path path(value);
  if (path.filename().empty()) path = path.parent_path();
  const bool is_file = path.extension() == ".safetensors" || path.extension() == ".ckpt";
  return key + " " + (is_file ? path.stem() : path.filename()).string();
}

std::vector<std::string> axis_labels(const GridAxis& axis) {
  std::vector<std::string> labels;
  for (const std::string& value : axis.values) labels.push_back(axis_label(axis.key, value));
  return labels;
}

Grid checked_grid(Grid grid) {
  for (const GridAxis& axis : grid.axes) {
    if (axis.values.empty()) throw bad_input("--grid, " + axis.key, "values", "none");
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

}  // namespace

std::vector<std::string> Grid::column_labels() const { return axis_labels(axes.front()); }

std::vector<std::string> Grid::row_labels() const {
  return axes.size() > 1 ? axis_labels(axes[1]) : std::vector<std::string>{""};
}

Request Grid::request_of(const Request& shared, size_t column, size_t row) const {
  RequestWords words = {{axes.front().key, {axes.front().values[column]}}};
  if (axes.size() > 1) words[axes[1].key] = {axes[1].values[row]};
  words.erase(kModelAxis);
  Request request = shared;
  pipeline::apply(words, request);
  return request;
}

std::string Grid::model_of(size_t column, size_t row) const {
  for (size_t i = 0; i < axes.size(); ++i) {
    if (axes[i].key == kModelAxis) return axes[i].values[i == 0 ? column : row];
  }
  return "";
}

std::vector<std::string> grid_values_from(const std::string& text) {
  std::vector<std::string> values;
  if (trimmed_blanks(text).empty()) return values;
  for (const std::string& part : split_outside_quotes(text, ',')) {
    std::string value = without_quotes(trimmed_blanks(part));
    if (value.empty()) throw bad_input("--grid", "a value between commas", "nothing");
    values.push_back(std::move(value));
  }
  return values;
}

std::string grid_values_text(const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) {
    const bool plain = value.find(',') == std::string::npos;
    text += (text.empty() ? "" : ",") + (plain ? value : "\"" + value + "\"");
  }
  return text;
}

Grid grid_from(const std::string& text) {
  const char* const form = "KEY=VALUE,VALUE,... once or twice, parted by blanks";
  std::vector<std::string> said;
  for (const std::string& word : split_outside_quotes(text, ' ')) {
    if (word.empty()) continue;
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
  for (const std::string& axis : said) {
    const size_t equals = axis.find('=');
    grid.axes.push_back(
        {axis_key(axis.substr(0, equals)), grid_values_from(axis.substr(equals + 1))});
  }
  return checked_grid(std::move(grid));
}

nlohmann::json to_json(const Grid& grid) {
  nlohmann::json list = nlohmann::json::array();
  for (const GridAxis& axis : grid.axes) {
    list.push_back({{"key", axis.key}, {"values", axis.values}});
  }
  return list;
}

Grid grid_from_json(const nlohmann::json& json) {
  Grid grid;
  const auto is_axis = [](const nlohmann::json& axis) {
    return axis.is_object() && axis.contains("key") && axis["key"].is_string() &&
           axis.contains("values") && axis["values"].is_array() &&
           std::all_of(axis["values"].begin(), axis["values"].end(),
                       [](const nlohmann::json& value) { return value.is_string(); });
  };
  if (!json.is_array() || json.empty() || json.size() > kMostAxes ||
      !std::all_of(json.begin(), json.end(), is_axis)) {
    throw bad_input("grid", "one or two of {key, values}", shown(json));
  }
  for (const nlohmann::json& axis : json) {
    grid.axes.push_back({axis_key(axis["key"]), axis["values"]});
  }
  return checked_grid(std::move(grid));
}

}  // namespace pangu::pipeline
