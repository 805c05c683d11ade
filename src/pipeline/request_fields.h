// The one list of what a request can say. Its JSON, the keys of a recipe and of a recipe's members
// and the flags of `draw` and `coop` are made of this list: to add a field is to add it to Request
// (request.h), to this list and to validate(). Defaults stand in Request alone.
#pragma once
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pipeline/request.h"

namespace pangu::pipeline {

enum class FieldWords {
  kNone,     // the flag alone says the opposite of the default
  kOne,      // the flag has one value
  kSeveral,  // the flag may be repeated, each time with one value
};

struct RequestField {
  std::string key;                       // in JSON, in recipes and inside of PNGs
  std::string flag;                      // of the command line; empty: none
  std::vector<std::string> also = {};    // other flags that say the same, as people type them
  std::string help;                      // of the flag
  const char* type;                      // of its value, for --help: TEXT, INT, FLOAT
  FieldWords words;                      // how many the flag takes
  std::vector<std::string> values = {};  // what it may be, where that is one of a few words
  std::string usual = {};  // what holds if nothing is said, for --help; empty: Request's own
  bool of_all = false;     // the members of a recipe share it
  bool is_path = false;    // names a file, which a recipe finds beside itself
  // The JSON of what stands on the command line. Error kBadInput names the key.
  std::function<nlohmann::json(const std::vector<std::string>& words)> parsed = {};
  // Sets the field. Error kBadInput names the key if the JSON is of another kind.
  std::function<void(const nlohmann::json& value, Request& request)> read = {};
  // Null for what is not said. None: the key is another spelling of other fields, and only read.
  std::function<nlohmann::json(const Request& request)> written = {};
};

// In the order of --help; another spelling comes behind the fields that it sets.
const std::vector<RequestField>& request_fields();
// Null if no field has this key.
const RequestField* find_request_field(const std::string& key);

// A value as an error quotes it: in 80 bytes, and what is no number or infinite by its name.
std::string shown(const nlohmann::json& value);

// Words of the command line by the keys of their fields; no words: the field is not said.
using RequestWords = std::map<std::string, std::vector<std::string>>;
// Sets what the words say. Error kBadInput names the key.
void apply(const RequestWords& words, Request& request);

}  // namespace pangu::pipeline
