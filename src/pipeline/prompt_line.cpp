#include "pipeline/prompt_line.h"

#include <algorithm>
#include <iterator>
#include <sstream>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/message.h"
#include "core/nearest.h"
#include "core/quoted.h"

namespace pangu::pipeline {
namespace {

constexpr const char* kModelFlags[] = {"--model", "--sd_model", "--sd-model"};

bool is_line_flag(const std::string& word) {
  return word.size() > 2 && word.starts_with("--") && word[2] != '-' && word[2] != ' ';
}

// Each flag with the words up to the next; the words before the first have the flag "".
std::vector<std::pair<std::string, std::string>> flags_of_line(const std::string& line) {
  std::vector<std::pair<std::string, std::string>> parts = {{"", ""}};
  std::istringstream words(line);
  for (std::string word; words >> word;) {
    if (is_line_flag(word)) {
      const size_t equals = std::min(word.find('='), word.size());
      parts.emplace_back(word.substr(0, equals), "");
      if (equals == word.size()) continue;
      word.erase(0, equals + 1);
    }
    std::string& value = parts.back().second;
    value += (value.empty() ? "" : " ") + word;
  }
  return parts;
}

Error unknown_line_flag(const std::string& what, const std::string& flag) {
  std::vector<std::string> known(std::begin(kModelFlags), std::end(kModelFlags));
  for (const RequestField& field : request_fields()) {
    if (!field.flag.empty()) known.push_back(field.flag);
  }
  return bad_input(what, "a prompt, and flags of a request behind it", "'" + flag + "'",
                   did_you_mean(flag, known));
}

}  // namespace

PromptLine prompt_line_from(const std::string& line) {
  const std::string what = "prompt '" + shortened(line) + "'";
  PromptLine read;
  for (const auto& [flag, text] : flags_of_line(line)) {
    const std::string value = flag.empty() ? text : without_quotes(text);
    if (flag.empty()) {
      if (!value.empty()) read.words["prompt"] = {value};
      continue;
    }
    const RequestField* field = find_request_flag(flag);
    const bool is_model =
        std::find(std::begin(kModelFlags), std::end(kModelFlags), flag) != std::end(kModelFlags);
    if (!field && !is_model) throw unknown_line_flag(what, flag);
    const bool takes_none = field && field->words == FieldWords::kNone;
    if (value.empty() != takes_none) {
      throw bad_input(what + ", " + flag, takes_none ? "no value" : "a value",
                      takes_none ? "'" + shortened(value) + "'" : "none");
    }
    if (is_model) {
      read.model = value;
    } else if (field->words == FieldWords::kSeveral) {
      read.words[field->key].push_back(value);
    } else {
      read.words[field->key] = {takes_none ? "true" : value};
    }
  }
  return read;
}

}  // namespace pangu::pipeline
