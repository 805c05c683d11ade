// Prompts with the names of their pictures, a JSON object a line:
//   {"file": "000042.png", "prompt": "a red apple", "seed": 7}
// "caption" and "text" are read as "prompt", "file_name", "id" and "image_id" as "file", so that
// lists of other tools serve. Other keys are left. A line without a name is named by its number
// from 0, "000000".
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pangu::eval {

struct NamedPrompt {
  std::string name;  // of the picture, without its suffix
  std::string prompt;
  std::optional<uint64_t> seed;
  bool operator==(const NamedPrompt&) const = default;
};

// Error kBadInput names the line: no prompt, a name with a folder in it, or one that came before.
// `name` is what errors call the text.
std::vector<NamedPrompt> parse_prompt_list(std::string_view text, const std::string& name);
// Error kIo, kBadInput.
std::vector<NamedPrompt> read_prompt_list(const std::string& path);

// The name of a picture's file without folders and suffix, as NamedPrompt::name.
std::string stem_of(const std::string& file);

}  // namespace pangu::eval
