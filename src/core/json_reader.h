// Configuration that other programs wrote as JSON. parse_json caps size and depth and refuses a key
// that comes twice; JsonReader reads the keys of one object, strictly typed, and remembers which
// keys were read, so that nothing is dropped silently. Every error is kBadInput and names the file
// and the key. It knows no format; configuration of our own is TOML (core/fields.h).
#pragma once
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/error.h"

namespace pangu {

struct JsonLimits {
  size_t max_bytes = size_t{1} << 20;
  int max_depth = 64;  // of nested objects and lists
};

// One JSON value of any kind. `name` is what errors call the text, such as "'vae/config.json'". A
// text over a limit is refused before any value is made of what lies beyond it.
nlohmann::json parse_json(std::string_view text, const std::string& name, JsonLimits limits = {});

// The beginning of a value for a message, at most 80 bytes, whatever bytes its texts hold.
std::string short_text(const nlohmann::json& value);

// Reads the keys of one JSON object. The types T that can be read are bool, int, int64_t, double,
// std::string, nlohmann::json (any value), a std::vector of these (one value alone stands for a
// list of one), a std::map from std::string to these. An integer serves as a double; nothing else
// is converted.
class JsonReader {
 public:
  // `name` is what errors call the file. Throws if `object` is no JSON object.
  JsonReader(std::string name, nlohmann::json object);

  // Returns the value of a key, or `fallback` where the key is absent or null.
  template <typename T>
  T get(const std::string& key, T fallback) {
    if (const nlohmann::json* value = find(key)) return as<T>(key, *value);
    return fallback;
  }

  // Returns the value of a key; throws if it is absent or null.
  template <typename T>
  T need(const std::string& key) {
    const nlohmann::json* value = find(key);
    if (!value) throw error(key, "a value", "none");
    return as<T>(key, *value);
  }

  // Reads a key into a field, which stays as it is where the key is absent or null.
  template <typename T>
  void read(const std::string& key, T& field) {
    if (const nlohmann::json* value = find(key)) field = as<T>(key, *value);
  }

  // The same for a number, which must lie from `low` to `high`.
  template <typename T>
  void read(const std::string& key, T& field, T low, T high) {
    const nlohmann::json* value = find(key);
    if (!value) return;
    const T number = as<T>(key, *value);
    if (!(number >= low && number <= high)) {
      throw error(
          key, "a number from " + nlohmann::json(low).dump() + " to " + nlohmann::json(high).dump(),
          short_text(*value));
    }
    field = number;
  }

  // Reads a key into a field, which stays as it is where the key is absent; null empties it.
  template <typename T>
  void read(const std::string& key, std::optional<T>& field) {
    const nlohmann::json* value = find(key);
    if (value) {
      field = as<T>(key, *value);
    } else if (object_.contains(key)) {
      field.reset();
    }
  }

  // Reads a key that may be absent, null, or one of these values; throws for any other value.
  void only(const std::string& key, const std::vector<nlohmann::json>& allowed);

  // Marks a key as read that is known and that nothing depends on, whatever its value.
  void passes(const std::string& key) { seen_.insert(key); }

  // Whether the key is there with a value other than null. This does not count as reading it.
  bool has(const std::string& key) const;

  // Keys that nobody has asked for, in alphabetical order. Keys that say nothing are left out:
  // names that begin with '_', and the values null and false.
  std::vector<std::string> unread() const;

  // All keys that nobody has asked for, whatever they say, with their values.
  nlohmann::json rest() const;
  // The keys that somebody has asked for, whether they are there or not.
  const std::set<std::string>& asked() const { return seen_; }

  // Throws for the first of unread().
  void refuse_unread() const;

  // Returns what `call` returns; an error that it throws gets the file's name in front.
  template <typename Call>
  auto naming_file(const Call& call) const {
    try {
      return call();
    } catch (const Error& problem) {
      throw while_doing("reading " + name_, problem);
    }
  }

  // The error for a value of the right type that is wrong all the same.
  Error error(const std::string& key, const std::string& expected, const std::string& found) const;

  const std::string& name() const { return name_; }
  const nlohmann::json& json() const { return object_; }

 private:
  template <typename T>
  struct ListOf : std::false_type {};
  template <typename T>
  struct ListOf<std::vector<T>> : std::true_type {};
  template <typename T>
  struct TableOf : std::false_type {};
  template <typename T>
  struct TableOf<std::map<std::string, T>> : std::true_type {};

  template <typename T>
  T as(const std::string& key, const nlohmann::json& value) const {
    if constexpr (std::is_same_v<T, nlohmann::json>) {
      return value;
    } else if constexpr (ListOf<T>::value) {
      T list;
      if (!value.is_array()) return {as<typename T::value_type>(key, value)};
      for (const nlohmann::json& entry : value) {
        list.push_back(as<typename T::value_type>(key, entry));
      }
      return list;
    } else if constexpr (TableOf<T>::value) {
      if (!value.is_object()) throw error(key, "a JSON object", short_text(value));
      T table;
      for (const auto& [inner, entry] : value.items()) {
        table[inner] = as<typename T::mapped_type>(key + "." + inner, entry);
      }
      return table;
    } else if constexpr (std::is_same_v<T, int>) {
      return static_cast<int>(
          integer(key, value, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()));
    } else if constexpr (std::is_same_v<T, int64_t>) {
      return integer(key, value, std::numeric_limits<int64_t>::min(),
                     std::numeric_limits<int64_t>::max());
    } else if constexpr (std::is_same_v<T, double>) {
      if (!value.is_number()) throw error(key, "a number", short_text(value));
      return value.get<double>();
    } else if constexpr (std::is_same_v<T, bool>) {
      if (!value.is_boolean()) throw error(key, "true or false", short_text(value));
      return value.get<bool>();
    } else {
      static_assert(std::is_same_v<T, std::string>, "a type that JsonReader cannot read");
      if (!value.is_string()) throw error(key, "a string", short_text(value));
      return value.get<std::string>();
    }
  }

  int64_t integer(const std::string& key, const nlohmann::json& value, int64_t low,
                  int64_t high) const;
  const nlohmann::json* find(const std::string& key);  // null where it is absent or null

  std::string name_;
  nlohmann::json object_;
  std::set<std::string> seen_;
};

}  // namespace pangu
