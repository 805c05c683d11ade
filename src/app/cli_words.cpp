#include "app/cli_words.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "core/error.h"
#include "core/message.h"
#include "core/nearest.h"

namespace pangu::app {
namespace {

using Words = std::vector<std::string>;

// Commands of other tools, and ours that do the same.
const std::map<std::string, std::string> kOtherCommands = {
    {"txt2img", "draw"}, {"img2img", "draw"},    {"generate", "draw"},  {"paint", "draw"},
    {"create", "draw"},  {"sample", "draw"},     {"finetune", "train"}, {"info", "inspect"},
    {"show", "inspect"}, {"preprocess", "data"}, {"cooperate", "coop"}, {"annotate", "control"},
};

constexpr char kAfterBracket = ' ';  // with_brackets_kept
constexpr const char* kPictureSuffixes[] = {".png", ".jpg", ".jpeg", ".webp"};

// The subcommand that the words led to, with the words that lead there.
struct Reached {
  const CLI::App* command;
  std::string path;  // "pangu-draw data pack"

  // Of an error: "data pack", "command" of the program itself.
  std::string name() const {
    const size_t blank = path.find(' ');
    return blank == std::string::npos ? "command" : path.substr(blank + 1);
  }
};

Reached reached_by(const CLI::App& app) {
  Reached reached{&app, app.get_name()};
  for (auto inner = app.get_subcommands(); !inner.empty();
       inner = reached.command->get_subcommands()) {
    reached.command = inner.back();
    reached.path += " " + inner.back()->get_name();
  }
  return reached;
}

Words flags_of(const CLI::App& command) {
  Words flags;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    for (const std::string& name : option->get_snames()) flags.push_back("-" + name);
  }
  return flags;
}

Words names_of_subcommands(const CLI::App& command) {
  Words names;
  for (const CLI::App* inner : command.get_subcommands({})) names.push_back(inner->get_name());
  return names;
}

std::string listed(const Words& words) {
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "" : ", ") + word;
  return list;
}

// Subcommands that have the flag, "draw, coop".
std::string owners_of(const CLI::App& app, const std::string& flag) {
  Words owners;
  for (const CLI::App* command : app.get_subcommands({})) {
    const Words flags = flags_of(*command);
    if (std::count(flags.begin(), flags.end(), flag)) owners.push_back(command->get_name());
  }
  return listed(owners);
}

std::string refusal_of_flag(const CLI::App& app, const Reached& at, const std::string& word) {
  const std::string flag = word.substr(0, word.find('='));
  std::string hint = did_you_mean(flag, flags_of(*at.command));
  const std::string owners = owners_of(app, flag);
  if (hint.empty() && !owners.empty()) hint = "it is a flag of " + owners;
  if (hint.empty()) hint = at.path + " --help lists them";
  return bad_input(at.name(), "one of its flags", "'" + shortened(flag) + "'", hint).what();
}

std::string refusal_of_command(const Reached& at, const std::string& word) {
  const Words names = names_of_subcommands(*at.command);
  std::string hint = did_you_mean(word, names);
  const auto other = kOtherCommands.find(word);
  if (other != kOtherCommands.end()) hint = "did you mean '" + other->second + "'?";
  if (hint.empty()) {
    const bool draws = std::count(names.begin(), names.end(), "draw") > 0;
    hint = draws ? at.path + " draw \"a red apple\" draws a picture; " + at.path + " --help"
                 : at.path + " --help";
  }
  return bad_input(at.name(), "one of " + listed(names),
                   word.empty() ? "nothing" : "'" + shortened(word) + "'", hint)
      .what();
}

// CLI11's words for a value that is none, "Could not convert: --threads = x" and "--threads: 1
// required INT missing", in ours.
std::string refusal_of_value(const Reached& at, const CLI::ParseError& error) {
  const std::string begin = "Could not convert: ", text = error.what();
  const bool is_wrong = text.starts_with(begin);
  const size_t start = is_wrong ? begin.size() : 0, end = text.find(is_wrong ? " = " : ": ", start);
  const CLI::Option* option =
      end == std::string::npos ? nullptr
                               : at.command->get_option_no_throw(text.substr(start, end - start));
  const bool is_missing = dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr;
  if (!option || (!is_wrong && !is_missing))
    return shortened(text) + ". Hint: " + at.path + " --help";
  const std::string found = is_wrong ? "'" + shortened(text.substr(end + 3)) + "'" : "nothing";
  return bad_input(option->get_name(), option->get_type_name(), found, at.path + " --help").what();
}

bool is_picture_name(const std::string& word) {
  const std::filesystem::path extension = std::filesystem::path(word).extension();
  return std::any_of(std::begin(kPictureSuffixes), std::end(kPictureSuffixes),
                     [&](const char* suffix) { return extension == suffix; });
}

}  // namespace

std::vector<std::string> usual_words(std::vector<std::string> words) {
  if (!words.empty() && words.front() == "version") words.front() = "--version";
  if (!words.empty() && words.front() == "help") {
    words.erase(words.begin());
    words.push_back("--help");
  }
  for (std::string& word : words) {
    if (word == "--") break;
    if (!word.starts_with("--")) continue;
    const auto end =
        word.begin() + static_cast<std::ptrdiff_t>(std::min(word.size(), word.find_first_of("= ")));
    std::replace(word.begin(), end, '_', '-');
  }
  return words;
}

std::vector<std::string> with_brackets_kept(const CLI::App& app, std::vector<std::string> words) {
  const CLI::App* command = nullptr;
  for (const CLI::App* one : app.get_subcommands({})) {
    if (!words.empty() && one->check_name(words.front())) command = one;
  }
  for (size_t i = 1; command && i < words.size(); ++i) {
    std::string& word = words[i];
    if (!word.starts_with("[") || !word.ends_with("]")) continue;
    const std::string& before = words[i - 1];
    const CLI::Option* flag =
        before.starts_with("-") ? command->get_option_no_throw(before) : nullptr;
    if (!flag || flag->get_items_expected_max() == 0) word += kAfterBracket;
  }
  return words;
}

std::string refusal_of_first_word(const CLI::App& app, const std::vector<std::string>& words) {
  if (words.empty() || words.front().starts_with("-")) return "";
  const Words names = names_of_subcommands(app);
  if (std::count(names.begin(), names.end(), words.front())) return "";
  return refusal_of_command(Reached{&app, app.get_name()}, words.front());
}

std::string refusal_of(const CLI::App& app, const CLI::ParseError& error) {
  const Reached at = reached_by(app);
  const bool names_rest = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr ||
                          dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  const Words rest = names_rest ? at.command->remaining() : Words();
  const bool wants_command = at.command->get_require_subcommand_min() > 0;
  if (!rest.empty() && rest.front().starts_with("-")) {
    return refusal_of_flag(app, at, rest.front());
  }
  if (!rest.empty() && !names_of_subcommands(*at.command).empty()) {
    return refusal_of_command(at, rest.front());
  }
  if (!rest.empty()) {
    return bad_input(at.name(), "fewer words", "'" + shortened(rest.front()) + "' too",
                     at.path + " --help; names with blanks stand in quotes")
        .what();
  }
  if (names_rest && wants_command && at.command->get_subcommands().empty()) {
    return refusal_of_command(at, "");
  }
  return at.name() + ": " + refusal_of_value(at, error);
}

std::string joined_prompt(const std::vector<std::string>& words) {
  std::string prompt;
  for (const std::string& word : words) {
    std::error_code unreadable;
    const bool alone = words.size() == 1 && !std::filesystem::exists(word, unreadable);
    if (is_picture_name(word) && !alone) {
      throw bad_input("prompt", "words that say what to draw",
                      "the name of a picture, '" + shortened(word) + "'",
                      "--out writes it, --init-image begins with it, --from repeats it");
    }
    prompt += prompt.empty() ? "" : " ";
    prompt +=
        word.ends_with(std::string("]") + kAfterBracket) ? word.substr(0, word.size() - 1) : word;
  }
  return prompt;
}

}  // namespace pangu::app
