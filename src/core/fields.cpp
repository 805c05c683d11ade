// TOML through toml++; the mapping to fields, the limits and the wording of errors are here.
#include "core/fields.h"

#include <toml++/toml.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "core/error.h"
#include "core/toml_text.h"

namespace pangu {
namespace {

constexpr size_t kMaxTomlBytes = 1 << 20;

std::string number_text(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t up = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = up;
    }
  }
  return row[b.size()];
}

// A table nested without bound would overflow the parser's stack; ours are flat.
void check_nesting(std::string_view text, const std::string& name) {
  int depth = 0;
  for (const char c : text) {
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if (c == '\n' && depth < 0) depth = 0;
    if (depth > 64) throw bad_input(name, "at most 64 levels of brackets", "more");
  }
}

toml::table parse_toml(std::string_view text, const std::string& name) {
  if (text.size() > kMaxTomlBytes) {
    throw bad_input(name, "at most 1 MiB of TOML", std::to_string(text.size()) + " bytes");
  }
  check_nesting(text, name);
  check_toml_characters(text, name);
  try {
    return toml::parse(text, name);
  } catch (const toml::parse_error& e) {
    throw bad_input(name + ":" + std::to_string(e.source().begin.line) + ": " +
                    std::string(e.description()));
  }
}

}  // namespace

struct TomlReader::State {
  std::string name;
  toml::table table;
  std::map<std::string, std::string> assigned;  // key -> the text of --set
  std::set<std::string> known;

  const toml::node* find(const char* key) {
    known.insert(key);
    return table.get(key);
  }

  std::string where(const std::string& key) const {
    if (assigned.count(key)) return "--set " + assigned.at(key);
    const toml::node* node = table.get(key);
    return node ? name + ":" + std::to_string(node->source().begin.line) + ": " + key
                : name + ": " + key;
  }

  [[noreturn]] void wrong_type(const char* key, const char* expected, const toml::node& node) {
    std::ostringstream found;
    found << node.type();
    throw bad_input(where(key), expected, found.str());
  }

  void check(const char* key, double value, Limits limits, const char* what) {
    if (!(value >= limits.low && value <= limits.high)) {
      throw bad_input(
          where(key),
          std::string(what) + number_text(limits.low) + " to " + number_text(limits.high),
          number_text(value));
    }
  }
};

TomlReader::TomlReader(std::string_view text, std::string name) : state_(new State) {
  state_->name = std::move(name);
  state_->table = parse_toml(text, state_->name);
}

TomlReader::~TomlReader() = default;
TomlReader::TomlReader(TomlReader&&) noexcept = default;

TomlReader TomlReader::open(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw bad_input("configuration file", "a readable TOML file", "'" + path + "'",
                    "configs/ has examples");
  }
  std::string text(kMaxTomlBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return TomlReader(text, path);
}

void TomlReader::set(const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw bad_input("--set", "KEY=VALUE", "'" + assignment + "'");
  }
  const std::string key = assignment.substr(0, equals), value = assignment.substr(equals + 1);
  toml::table parsed;
  try {
    parsed = parse_toml("value = " + value, "--set");
  } catch (const Error&) {
    parsed = toml::table{{"value", value}};
  }
  parsed.get("value")->visit([&](auto&& node) { state_->table.insert_or_assign(key, node); });
  state_->assigned[key] = assignment;
}

void TomlReader::operator()(const char* key, bool& field, const char*, Limits) {
  const toml::node* node = state_->find(key);
  if (!node) return;
  const auto value = node->value_exact<bool>();
  if (!value) state_->wrong_type(key, "true or false", *node);
  field = *value;
}

void TomlReader::operator()(const char* key, int64_t& field, const char*, Limits limits) {
  const toml::node* node = state_->find(key);
  if (!node) return;
  const auto value = node->value_exact<int64_t>();
  if (!value) state_->wrong_type(key, "an integer", *node);
  state_->check(key, static_cast<double>(*value), limits, "");
  field = *value;
}

void TomlReader::operator()(const char* key, double& field, const char*, Limits limits) {
  const toml::node* node = state_->find(key);
  if (!node) return;
  if (!node->is_number()) state_->wrong_type(key, "a number", *node);
  const double value = *node->value<double>();
  state_->check(key, value, limits, "");
  field = value;
}

void TomlReader::operator()(const char* key, std::string& field, const char*, Limits limits) {
  const toml::node* node = state_->find(key);
  if (!node) return;
  const auto value = node->value_exact<std::string>();
  if (!value) state_->wrong_type(key, "text in quotes", *node);
  if (limits.high < 1e300) {
    state_->check(key, static_cast<double>(value->size()), limits, "a length of ");
  }
  field = *value;
}

void TomlReader::operator()(const char* key, std::vector<int64_t>& field, const char*,
                            Limits limits) {
  const toml::node* node = state_->find(key);
  if (!node) return;
  if (!node->is_array()) state_->wrong_type(key, "a list of integers", *node);
  std::vector<int64_t> values;
  for (const toml::node& item : *node->as_array()) {
    const auto value = item.value_exact<int64_t>();
    if (!value) state_->wrong_type(key, "a list of integers", item);
    state_->check(key, static_cast<double>(*value), limits, "");
    values.push_back(*value);
  }
  field = std::move(values);
}

void TomlReader::operator()(const char* key, std::vector<std::string>& field, const char*, Limits) {
  const toml::node* node = state_->find(key);
  if (!node) return;
  if (!node->is_array()) state_->wrong_type(key, "a list of texts", *node);
  std::vector<std::string> values;
  for (const toml::node& item : *node->as_array()) {
    const auto value = item.value_exact<std::string>();
    if (!value) state_->wrong_type(key, "a list of texts", item);
    values.push_back(*value);
  }
  field = std::move(values);
}

void TomlReader::finish() const {
  for (const auto& [key, node] : state_->table) {
    const std::string name(key.str());
    if (state_->known.count(name)) continue;
    std::string nearest;
    size_t best = name.size() / 2 + 1;
    for (const std::string& known : state_->known) {
      const size_t distance = edit_distance(name, known);
      if (distance < best) best = distance, nearest = known;
    }
    throw bad_input(
        state_->where(name) + ": unknown key", "", "",
        nearest.empty() ? "docs/training.md lists the keys" : "did you mean '" + nearest + "'?");
  }
}

std::string TomlReader::where(const std::string& key) const { return state_->where(key); }

}  // namespace pangu
