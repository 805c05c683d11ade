// Configuration structs name their fields once:
//   template <class V> void visit_fields(V& v) { v("learning_rate", learning_rate, "doc", {0, 1});
//   }
// and this one list serves the TOML reader below, the JSON writer and the table in the docs.
// Defaults live in the struct's initialisers and nowhere else.
#pragma once
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace pangu {

struct Limits {
  double low = -1e300, high = 1e300;  // inclusive; for text and lists, of the length
};

// Reads one TOML document field by field. Every error is kBadInput and names file, line and key.
class TomlReader {
 public:
  // `name` is what errors call the text, such as its file. Texts over 1 MiB are refused.
  TomlReader(std::string_view text, std::string name);
  static TomlReader open(const std::string& path);
  ~TomlReader();
  TomlReader(TomlReader&&) noexcept;

  // Overrides one key as on a command line: "key=value", value in TOML or a bare word.
  void set(const std::string& assignment);

  void operator()(const char* key, bool& field, const char* doc, Limits = {});
  void operator()(const char* key, int64_t& field, const char* doc, Limits = {});
  void operator()(const char* key, double& field, const char* doc, Limits = {});
  void operator()(const char* key, std::string& field, const char* doc, Limits = {});
  void operator()(const char* key, std::vector<int64_t>& field, const char* doc, Limits = {});
  void operator()(const char* key, std::vector<std::string>& field, const char* doc, Limits = {});

  // Throws for a key that no field has read, with the nearest known key as the hint.
  void finish() const;

  // Returns "FILE:LINE: KEY" for errors that are found after reading, such as two keys that
  // contradict each other.
  std::string where(const std::string& key) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Returns a TOML file of at most 1 MiB as JSON, for documents with nested tables. Dates and times
// are refused. Errors are kBadInput and name file and line.
nlohmann::json toml_as_json(const std::string& path);

// Collects all fields as one JSON object {key: value}.
class JsonFieldWriter {
 public:
  template <class T>
  void operator()(const char* key, T& field, const char*, Limits = {}) {
    json[key] = field;
  }
  nlohmann::json json = nlohmann::json::object();
};

// Collects all fields as a Markdown table of key, default and meaning.
class DocFieldWriter {
 public:
  template <class T>
  void operator()(const char* key, T& field, const char* doc, Limits = {}) {
    table +=
        std::string("| `") + key + "` | `" + nlohmann::json(field).dump() + "` | " + doc + " |\n";
  }
  std::string table = "| key | default | meaning |\n|---|---|---|\n";
};

}  // namespace pangu
