#include "eval/prompt_list.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/json_reader.h"
#include "data/file_names.h"
#include "io/mapped_file.h"

namespace pangu::eval {
namespace {

constexpr size_t kMostListBytes = size_t{1} << 30;

std::string padded(int64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "%06lld", static_cast<long long>(number));
  return text;
}

const nlohmann::json* first_of(const nlohmann::json& object,
                               std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    const auto found = object.find(key);
    if (found != object.end() && !found->is_null()) return &*found;
  }
  return nullptr;
}

NamedPrompt prompt_of(const nlohmann::json& object, int64_t index, const std::string& line) {
  if (!object.is_object()) throw bad_input(line, "a JSON object", short_text(object));
  NamedPrompt found;
  const nlohmann::json* prompt = first_of(object, {"prompt", "caption", "text"});
  if (!prompt || !prompt->is_string() || prompt->get<std::string>().empty()) {
    throw bad_input(line, "a text \"prompt\", \"caption\" or \"text\"",
                    prompt ? short_text(*prompt) : "none");
  }
  found.prompt = prompt->get<std::string>();
  const nlohmann::json* name = first_of(object, {"file", "file_name", "id", "image_id"});
  if (!name) {
    found.name = padded(index);
  } else if (name->is_number_integer()) {
    found.name = padded(name->get<int64_t>());
  } else if (name->is_string()) {
    const std::string file = name->get<std::string>();
    if (file.empty() || file == "." || file == ".." || file[0] == '.' ||
        file.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
      throw bad_input(line, "the plain name of a file", short_text(*name));
    }
    found.name = stem_of(file);
  } else {
    throw bad_input(line, "a name or a number", short_text(*name));
  }
  if (const nlohmann::json* seed = first_of(object, {"seed"})) {
    if (!seed->is_number_unsigned()) {
      throw bad_input(line, "a seed of 0 or more", short_text(*seed));
    }
    found.seed = seed->get<uint64_t>();
  }
  return found;
}

}  // namespace

std::string stem_of(const std::string& file) {
  const std::string name = file.substr(data::folder_in(file).size());
  const data::NameParts parts = data::split_at_last_dot(name);
  return data::is_picture_suffix(parts.suffix) ? parts.stem : name;
}

std::vector<NamedPrompt> parse_prompt_list(std::string_view text, const std::string& name) {
  std::vector<NamedPrompt> prompts;
  std::set<std::string> names;
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view row = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string line = name + ", line " + std::to_string(number);
    prompts.push_back(prompt_of(parse_json(row, line), static_cast<int64_t>(prompts.size()), line));
    if (!names.insert(prompts.back().name).second) {
      throw bad_input(line, "a name of its own for every picture",
                      "'" + prompts.back().name + "' again");
    }
  }
  if (prompts.empty()) throw bad_input(name, "a JSON object with a prompt a line", "none");
  return prompts;
}

std::vector<NamedPrompt> read_prompt_list(const std::string& path) {
  return parse_prompt_list(io::read_text_file(path, kMostListBytes), "'" + path + "'");
}

}  // namespace pangu::eval
