// --help and the manual page; completion is in cli_completion.cpp.
#include "app/cli_help.h"

#include <sstream>

namespace pangu::app {
namespace {

constexpr size_t kNamesInHelp = 2;  // long ones of a flag; the manual page has all
constexpr size_t kHelpColumn = 34;  // where descriptions begin

bool is_repeated(const CLI::Option& option) {
  return option.get_expected_max() == CLI::detail::expected_max_vector_size;
}

// " INT", " TEXT REQUIRED"; empty for a flag without a value.
std::string value_of(const CLI::Option& option) {
  if (option.get_type_size() == 0) return "";
  std::string text = option.get_type_name().empty() ? "" : " " + option.get_type_name();
  if (is_repeated(option) && option.get_positional()) text += " ...";
  return option.get_required() ? text + " REQUIRED" : text;
}

std::string meaning_of(const CLI::Option& option) {
  const std::string usual = option.get_default_str();
  return option.get_description() + (usual.empty() ? "" : " (default: " + usual + ")");
}

class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    if (is_positional) return option->get_name(true, false);
    std::string names;
    for (const std::string& name : option->get_snames()) names += "-" + name + ",";
    const auto& all = option->get_lnames();
    for (size_t i = 0; i < std::min(all.size(), kNamesInHelp); ++i) names += "--" + all[i] + ",";
    return names.substr(0, names.size() - 1);
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    return value_of(*option);
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    return meaning_of(*option);
  }
};

// Text of roff: no hyphen that a search would miss, no line that is a request.
std::string roff(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else if ((c == '.' || c == '\'') && (escaped.empty() || escaped.back() == '\n')) {
      escaped += std::string("\\&") + c;
    } else {
      escaped += c;
    }
  }
  return escaped;
}

void write_option(std::ostream& out, const CLI::Option& option) {
  std::string names = option.get_positional() ? option.get_name(true, false) : "";
  for (const std::string& name : option.get_snames()) names += (names.empty() ? "-" : ", -") + name;
  for (const std::string& name : option.get_lnames()) {
    names += (names.empty() ? "--" : ", --") + name;
  }
  out << ".TP\n.B " << roff(names + value_of(option)) << "\n" << roff(meaning_of(option)) << "\n";
}

void write_command(std::ostream& out, const CLI::App& command, const std::string& before) {
  const std::string name = before + " " + command.get_name();
  out << ".SS " << roff(name) << "\n" << roff(command.get_description()) << "\n";
  for (const CLI::Option* option : command.get_options()) {
    if (option != command.get_help_ptr()) write_option(out, *option);
  }
  for (const CLI::App* inner : command.get_subcommands({})) write_command(out, *inner, name);
}

constexpr const char* kExitCodes = R"(.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
A mistake of the program itself.
.TP
.B 2
A bad flag, prompt, file or configuration.
.TP
.B 3
Input or output failed.
.TP
.B 4
This machine lacks a device, a library or memory.
.TP
.B 130
Stopped by Ctrl\-C; what was finished before is kept.
.SH ENVIRONMENT
.TP
.B PANGU_HOME
Folder of the installation, with models/.
.TP
.B PANGU_MODELS
Folders where models are looked for by name, parted by colons.
)";

}  // namespace

std::shared_ptr<CLI::Formatter> help_formatter() {
  auto formatter = std::make_shared<HelpFormatter>();
  formatter->column_width(kHelpColumn);
  return formatter;
}

std::string manual_page(const CLI::App& app, const std::string& version) {
  std::ostringstream out;
  const std::string name = app.get_name();
  out << ".TH " << roff(name) << " 1 \"\" \"" << roff(name + " " + version) << "\"\n"
      << ".SH NAME\n"
      << roff(name) << " \\- " << roff(app.get_description()) << "\n"
      << ".SH SYNOPSIS\n.B " << roff(name) << "\n.I COMMAND\n[words and flags]\n"
      << ".SH COMMANDS\n";
  for (const CLI::App* command : app.get_subcommands({})) write_command(out, *command, name);
  out << kExitCodes;
  return out.str();
}

}  // namespace pangu::app
