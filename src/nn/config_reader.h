// Reads the keys of one JSON configuration into fields, and remembers which, so that what is left
// over can be judged. Errors name the file and the key. Knows no network.
#pragma once
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "core/error.h"

namespace pangu::nn {

class ConfigReader {
 public:
  // `what` names the file in messages, say "unet/config.json"; `object` outlives the reader.
  ConfigReader(std::string what, const nlohmann::json& object)
      : what_(std::move(what)), object_(object) {
    if (!object.is_object()) throw bad_input(what_, "a JSON object", object.type_name());
  }

  // Null or absent leaves the default.
  template <typename T>
  void read(const char* key, T& field) {
    if (const nlohmann::json* value = find(key)) field = get<T>(key, *value);
  }

  // Null means "none"; absent leaves the default.
  template <typename T>
  void read(const char* key, std::optional<T>& field) {
    seen_.insert(key);
    const auto it = object_.find(key);
    if (it == object_.end()) return;
    field = it->is_null() ? std::nullopt : std::optional<T>(get<T>(key, *it));
  }

  // A list, or one value for every level.
  template <typename T>
  void read(const char* key, std::vector<T>& field) {
    const nlohmann::json* value = find(key);
    if (!value) return;
    field.clear();
    if (!value->is_array()) {
      field.push_back(get<T>(key, *value));
      return;
    }
    for (const nlohmann::json& entry : *value) field.push_back(get<T>(key, entry));
  }

  // One value, or a list whose entries are values or lists of values.
  template <typename T>
  void read(const char* key, std::vector<std::vector<T>>& field) {
    const nlohmann::json* value = find(key);
    if (!value) return;
    field.clear();
    const auto list = value->is_array() ? *value : nlohmann::json::array({*value});
    for (const nlohmann::json& entry : list) {
      field.emplace_back();
      const auto inner = entry.is_array() ? entry : nlohmann::json::array({entry});
      for (const nlohmann::json& one : inner) field.back().push_back(get<T>(key, one));
    }
  }

  // Null and absent mean "none".
  template <typename T>
  void read(const char* key, std::optional<std::vector<std::vector<T>>>& field) {
    std::vector<std::vector<T>> found;
    field.reset();
    if (!find(key)) return;
    read(key, found);
    field = std::move(found);
  }

  // A key that may be there with one of these values (or null) only.
  void only(const char* key, const std::vector<nlohmann::json>& allowed) {
    const nlohmann::json* value = find(key);
    if (!value) return;
    if (std::find(allowed.begin(), allowed.end(), *value) != allowed.end()) return;
    throw error(key,
                allowed.empty() ? "null" : allowed.front().dump() + " (nothing else is supported)",
                value->dump());
  }

  // A key that is known to have no effect on what this program computes.
  void passes(const char* key) { seen_.insert(key); }

  // What `call` gives; an error of it is told with the file's name.
  template <typename Call>
  auto naming_file(const Call& call) const {
    try {
      return call();
    } catch (const Error& problem) {
      throw while_doing("reading " + what_, problem);
    }
  }

  // Throws for a key that nobody read, unless it begins with '_' or is null or false.
  void refuse_leftovers() const {
    for (const auto& [key, value] : object_.items()) {
      const bool harmless = key.starts_with('_') || value.is_null() || value == false;
      if (!harmless && !seen_.contains(key)) throw error(key, "a known key", value.dump());
    }
  }

  Error error(const std::string& key, const std::string& expected, const std::string& found) const {
    return bad_input(what_ + ", key '" + key + "'", expected, found);
  }

 private:
  const nlohmann::json* find(const char* key) {
    seen_.insert(key);
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }

  template <typename T>
  T get(const char* key, const nlohmann::json& value) const {
    static_assert(std::is_same_v<T, int64_t> || std::is_same_v<T, double> ||
                  std::is_same_v<T, bool> || std::is_same_v<T, std::string>);
    const char* expected = "a string";
    bool fits = value.is_string();
    if constexpr (std::is_same_v<T, int64_t>) {
      expected = "an integer";
      fits = value.is_number_integer();
    } else if constexpr (std::is_same_v<T, double>) {
      expected = "a number";
      fits = value.is_number();
    } else if constexpr (std::is_same_v<T, bool>) {
      expected = "true or false";
      fits = value.is_boolean();
    }
    if (!fits) throw error(key, expected, value.dump());
    return value.get<T>();
  }

  std::string what_;
  const nlohmann::json& object_;
  std::set<std::string> seen_;
};

}  // namespace pangu::nn
