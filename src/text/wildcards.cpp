#include "text/wildcards.h"

#include <optional>

#include "core/error.h"
#include "core/message.h"
#include "core/rng.h"

namespace pangu::text {
namespace {

constexpr uint64_t kChoiceStream = 0x63686f696365;  // "choice": apart from those of noise
constexpr int kMostChoices = 1000;
constexpr size_t kMostBytes = size_t{64} << 10;

// A piece of a prompt that stands for one of several texts.
struct Choice {
  size_t at, size;
  std::vector<std::string> options;
};

// The innermost braces that end first and hold a "|".
std::optional<Choice> choice_in_braces(const std::string& text) {
  for (size_t close = text.find('}'); close != std::string::npos;
       close = text.find('}', close + 1)) {
    const size_t open = text.rfind('{', close);
    const size_t before = close == 0 ? std::string::npos : text.rfind('}', close - 1);
    if (open == std::string::npos || (before != std::string::npos && before > open)) continue;
    const std::string inside = text.substr(open + 1, close - open - 1);
    if (inside.find('|') == std::string::npos) continue;
    Choice choice{open, close + 1 - open, {}};
    for (size_t at = 0; at <= inside.size();) {
      const size_t end = std::min(inside.find('|', at), inside.size());
      choice.options.push_back(inside.substr(at, end - at));
      at = end + 1;
    }
    return choice;
  }
  return {};
}

bool is_name(std::string_view name) {
  return !name.empty() && name.find_first_of(" \t,{}|") == std::string_view::npos;
}

// The first __name__.
std::optional<Choice> choice_of_list(const std::string& text, const WildcardList& list) {
  for (size_t open = text.find("__"); open != std::string::npos; open = text.find("__", open + 1)) {
    const size_t close = text.find("__", open + 2);
    if (close == std::string::npos) break;
    const std::string name = text.substr(open + 2, close - open - 2);
    if (!is_name(name)) continue;
    Choice choice{open, close + 2 - open, list(name)};
    if (choice.options.empty()) throw bad_input("wildcard '" + name + "'", "lines", "none");
    return choice;
  }
  return {};
}

}  // namespace

std::string with_choices(std::string_view prompt, const WildcardList& list, uint64_t seed) {
  Rng rng(seed, kChoiceStream);
  std::string text(prompt);
  for (int made = 0; made < kMostChoices && text.size() <= kMostBytes; ++made) {
    auto choice = choice_in_braces(text);
    if (!choice) choice = choice_of_list(text, list);
    if (!choice) return text;
    text.replace(choice->at, choice->size, choice->options[rng.below(choice->options.size())]);
  }
  throw bad_input("prompt '" + shortened(std::string(prompt)) + "'", "choices that come to an end",
                  "lists that name each other");
}

std::vector<std::string> prompt_lines(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  std::vector<std::string> lines;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // a mark of UTF-8
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    const size_t first = line.find_first_not_of(blanks);
    if (first == std::string_view::npos || line[first] == '#') continue;
    lines.emplace_back(line.substr(first, line.find_last_not_of(blanks) - first + 1));
  }
  return lines;
}

}  // namespace pangu::text
