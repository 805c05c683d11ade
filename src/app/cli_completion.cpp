// Scripts by which bash, zsh and fish complete what is typed: subcommands, flags, values of flags,
// else files. Each first finds the trail of subcommands (" data pack") among the words so far.
#include <sstream>

#include "app/cli_help.h"
#include "core/error.h"
#include "core/nearest.h"

namespace pangu::app {
namespace {

struct CompletedFlag {
  std::vector<std::string> long_names, short_names;  // without dashes
  std::string meaning;
  bool has_value = false;
};

// A subcommand by its trail.
struct CompletedCommand {
  std::string trail;  // " data pack"; empty: the program itself
  std::vector<CompletedFlag> flags;
  std::vector<std::pair<std::string, std::string>> inner;  // subcommands and what they do
};

void add_commands(const CLI::App& app, const std::string& trail,
                  std::vector<CompletedCommand>& commands) {
  CompletedCommand command{trail, {}, {}};
  for (const CLI::Option* option : app.get_options()) {
    if (!option->nonpositional()) continue;
    command.flags.push_back({option->get_lnames(), option->get_snames(), option->get_description(),
                             option->get_type_size() != 0});
  }
  const auto inner = app.get_subcommands({});
  for (const CLI::App* one : inner) {
    command.inner.emplace_back(one->get_name(), one->get_description());
  }
  commands.push_back(std::move(command));
  for (const CLI::App* one : inner) add_commands(*one, trail + " " + one->get_name(), commands);
}

// In single quotes, as all three shells read them; `inside` is what stands there for one.
std::string quoted(const std::string& text, const char* inside) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string(inside) : std::string(1, c);
  return quoted + "'";
}
std::string quoted_for_sh(const std::string& text) { return quoted(text, "'\\''"); }
std::string quoted_for_fish(const std::string& text) {
  std::string escaped;
  for (const char c : text) escaped += c == '\\' ? std::string("\\\\") : std::string(1, c);
  return quoted(escaped, "\\'");
}

std::string spaced(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + word;
  return line;
}

std::string trails_pattern(const std::vector<CompletedCommand>& commands, const char* between) {
  std::string pattern;
  for (const CompletedCommand& command : commands) {
    if (command.trail.empty()) continue;
    pattern += (pattern.empty() ? "" : between) + quoted_for_sh(command.trail);
  }
  return pattern;
}

std::string bash_script(const std::vector<CompletedCommand>& commands, const FlagValues& values) {
  std::ostringstream out;
  out << "# bash completion of pangu-draw: source <(pangu-draw completion bash)\n"
         "_pangu_draw() {\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]} trail= word flags= inner=\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    case \"$trail $word\" in\n"
         "      "
      << trails_pattern(commands, " | ")
      << ") trail=\"$trail $word\" ;;\n"
         "    esac\n"
         "  done\n"
         "  case ${COMP_WORDS[COMP_CWORD-1]} in\n";
  for (const auto& [flag, words] : values) {
    out << "    " << flag << ") COMPREPLY=($(compgen -W " << quoted_for_sh(spaced(words))
        << " -- \"$cur\")); return ;;\n";
  }
  out << "  esac\n"
         "  case $trail in\n";
  for (const CompletedCommand& command : commands) {
    std::vector<std::string> flags, inner;
    for (const CompletedFlag& flag : command.flags) {
      for (const std::string& name : flag.long_names) flags.push_back("--" + name);
      for (const std::string& name : flag.short_names) flags.push_back("-" + name);
    }
    for (const auto& [name, what] : command.inner) inner.push_back(name);
    out << "    " << quoted_for_sh(command.trail) << ") flags=" << quoted_for_sh(spaced(flags))
        << " inner=" << quoted_for_sh(spaced(inner)) << " ;;\n";
  }
  out << "  esac\n"
         "  if [[ $cur == -* ]]; then\n"
         "    COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n"
         "  else\n"
         "    COMPREPLY=($(compgen -W \"$inner\" -- \"$cur\"))\n"
         "  fi\n"
         "}\n"
         "complete -o default -F _pangu_draw pangu-draw\n";
  return out.str();
}

// "word:what it is" as _describe takes it.
std::string zsh_entry(const std::string& word, const std::string& what) {
  std::string escaped;
  for (const char c : word) escaped += c == ':' ? std::string("\\:") : std::string(1, c);
  return quoted_for_sh(escaped + ":" + what);
}

std::string zsh_script(const std::vector<CompletedCommand>& commands, const FlagValues& values) {
  std::ostringstream out;
  out << "#compdef pangu-draw\n"
         "# zsh completion of pangu-draw: source <(pangu-draw completion zsh)\n"
         "_pangu_draw() {\n"
         "  local trail= word\n"
         "  local -a flags inner\n"
         "  for word in \"${(@)words[2,CURRENT-1]}\"; do\n"
         "    case \"$trail $word\" in\n"
         "      ("
      << trails_pattern(commands, "|")
      << ") trail=\"$trail $word\" ;;\n"
         "    esac\n"
         "  done\n"
         "  case ${words[CURRENT-1]} in\n";
  for (const auto& [flag, words] : values) {
    out << "    (" << flag << ") compadd -- " << spaced(words) << "; return ;;\n";
  }
  out << "  esac\n"
         "  case $trail in\n";
  for (const CompletedCommand& command : commands) {
    out << "    (" << quoted_for_sh(command.trail) << ")\n      flags=(";
    for (const CompletedFlag& flag : command.flags) {
      for (const std::string& name : flag.long_names) {
        out << "\n        " << zsh_entry("--" + name, flag.meaning);
      }
    }
    out << ")\n      inner=(";
    for (const auto& [name, what] : command.inner) out << "\n        " << zsh_entry(name, what);
    out << ") ;;\n";
  }
  out << "  esac\n"
         "  if [[ ${words[CURRENT]} == -* ]]; then\n"
         "    _describe -o flag flags\n"
         "  elif (( ${#inner} )); then\n"
         "    _describe command inner\n"
         "  else\n"
         "    _files\n"
         "  fi\n"
         "}\n"
         "if [[ ${funcstack[1]-} == _pangu_draw ]]; then _pangu_draw \"$@\"; "
         "else compdef _pangu_draw pangu-draw; fi\n";
  return out.str();
}

std::string fish_script(const std::vector<CompletedCommand>& commands, const FlagValues& values) {
  std::ostringstream out;
  out << "# fish completion of pangu-draw: pangu-draw completion fish | source\n"
         "function __pangu_draw_at\n"
         "  set -l trail ''\n"
         "  for word in (commandline -opc)[2..-1]\n"
         "    switch \"$trail $word\"\n"
         "      case "
      << trails_pattern(commands, " ")
      << "\n"
         "        set trail \"$trail $word\"\n"
         "    end\n"
         "  end\n"
         "  test \"$trail\" = \"$argv[1]\"\n"
         "end\n";
  for (const CompletedCommand& command : commands) {
    const std::string begin =
        "complete -c pangu-draw -n \"__pangu_draw_at '" + command.trail + "'\"";
    for (const auto& [name, what] : command.inner) {
      out << begin << " -f -a " << name << " -d " << quoted_for_fish(what) << "\n";
    }
    for (const CompletedFlag& flag : command.flags) {
      out << begin;
      for (const std::string& name : flag.short_names) out << " -s " << name;
      for (const std::string& name : flag.long_names) {
        out << " -l " << name;
        const auto listed = values.find("--" + name);
        if (listed != values.end()) out << " -x -a " << quoted_for_fish(spaced(listed->second));
      }
      out << (flag.has_value ? " -r" : "") << " -d " << quoted_for_fish(flag.meaning) << "\n";
    }
  }
  return out.str();
}

}  // namespace

std::string completion_script(const CLI::App& app, const FlagValues& values,
                              const std::string& shell) {
  std::vector<CompletedCommand> commands;
  add_commands(app, "", commands);
  if (shell == "bash") return bash_script(commands, values);
  if (shell == "zsh") return zsh_script(commands, values);
  if (shell == "fish") return fish_script(commands, values);
  throw bad_input("completion", "bash, zsh or fish", "'" + shell + "'",
                  did_you_mean(shell, {std::begin(kShells), std::end(kShells)}));
}

}  // namespace pangu::app
