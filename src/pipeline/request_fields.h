// The one list of a request's fields. The JSON of a request, the keys of a recipe and of its
// members, and the flags of `draw` and `coop` are made from this list: a new field is added to
// Request (request.h), to this list and to validate(). Defaults are in Request alone.
#pragma once
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pipeline/request.h"

namespace pangu::pipeline {

enum class FieldWords {
  kNone,     // the flag has no value and sets the opposite of the default
  kOne,      // the flag has one value
  kSeveral,  // the flag may be repeated, each time with one value
};

struct RequestField {
  std::string key;                       // in JSON, in recipes and inside of PNGs
  std::string flag;                      // on the command line; empty: there is none
  std::vector<std::string> also = {};    // other flags for the same, as people type them
  std::string help;                      // help text of the flag
  const char* type;                      // type of its value in --help: TEXT, INT, FLOAT
  FieldWords words;                      // how many values the flag takes
  std::vector<std::string> values = {};  // the values it may have, where they are a few words
  std::string usual = {};                // the default that --help shows; empty: Request's own
  bool of_all = false;                   // common to all members of a recipe, which may not set it
  bool is_path = false;                  // names a file, which is looked for in the recipe's folder
  // Turns words of the command line into the field's JSON. Throws kBadInput, which names the key.
  std::function<nlohmann::json(const std::vector<std::string>& words)> parsed = {};
  // Sets the field from JSON. Throws kBadInput, which names the key, if the JSON is of another
  // kind.
  std::function<void(const nlohmann::json& value, Request& request)> read = {};
  // Returns the field as JSON, null if it is unset. Empty: the key is another spelling of other
  // fields and is only read.
  std::function<nlohmann::json(const Request& request)> written = {};
};

// The fields in the order of --help; another spelling comes after the fields that it sets.
const std::vector<RequestField>& request_fields();
// The field with this key; null if there is none.
const RequestField* find_request_field(const std::string& key);
// The field with this flag, in any of its spellings ("--cfg", "--cfg_scale"); null if there is
// none.
const RequestField* find_request_flag(const std::string& flag);

// A value as an error quotes it: at most 80 bytes, with "nan" and "infinity" by name.
std::string shown(const nlohmann::json& value);

// Words of the command line by the keys of their fields; a field without words is left as it is.
using RequestWords = std::map<std::string, std::vector<std::string>>;
// Sets the fields from the words. Throws kBadInput, which names the key.
void apply(const RequestWords& words, Request& request);

}  // namespace pangu::pipeline
