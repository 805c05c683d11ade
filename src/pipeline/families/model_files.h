// The files of a model folder: what must be there, their JSON with errors that name file and key,
// and a fingerprint of the weights. Knows no network. Not a public contract of the room.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"

namespace pangu::pipeline {

// A JSON object out of a file, read key by key.
class JsonFile {
 public:
  // Error kBadInput if there is no such file or it holds no JSON object.
  explicit JsonFile(const std::string& path);

  const nlohmann::json& json() const { return json_; }
  const std::string& path() const { return path_; }

  // The value of a key; `fallback` if it is absent or null. Error kBadInput if it has another type.
  template <class T>
  T get(const char* key, T fallback) const {
    const auto found = json_.find(key);
    if (found == json_.end() || found->is_null()) return fallback;
    return as<T>(key, *found);
  }
  // Error kBadInput if it is absent.
  template <class T>
  T need(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end() || found->is_null()) throw wrong(key, "a value", "none");
    return as<T>(key, *found);
  }
  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }

  Error wrong(const std::string& key, const std::string& expected, const std::string& found) const;

 private:
  template <class T>
  T as(const char* key, const nlohmann::json& value) const {
    try {
      return value.get<T>();
    } catch (const nlohmann::json::exception&) {
      throw wrong(key, "another type", value.dump().substr(0, 80));
    }
  }

  std::string path_;
  nlohmann::json json_;
};

// Error kBadInput naming the first of `names` that is no file in the folder.
void require_files(const std::string& folder, const std::vector<std::string>& names);

// 16 hexadecimal digits of SHA-256 over names, sizes and both ends of the files: tells trainings
// apart in a millisecond, proves nothing about files that someone has doctored.
std::string fingerprint_of(const std::string& folder, const std::vector<std::string>& names);

}  // namespace pangu::pipeline
