// A parser by descent of the grammar of that program's prompt_parser: what does not close is text.
#include "text/prompt_schedule.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <set>

#include "core/error.h"
#include "text/prompt.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace pangu::text {
namespace {

// Deeper brackets are text: a hostile prompt must not exhaust the stack.
constexpr int kMostDepth = 64;

enum class NodeKind { kText, kList, kScheduled, kAlternate };

struct Node {
  NodeKind kind = NodeKind::kText;
  std::string text;                 // of kText
  std::vector<Node> children = {};  // parts of a list; from and to; options
  std::string when = {};            // of kScheduled
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<double> schedule_number(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = problem == std::errc() && end == text.data() + text.size();
  return whole && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

void append_text(Node& list, std::string_view text) {
  if (!list.children.empty() && list.children.back().kind == NodeKind::kText) {
    list.children.back().text += text;
  } else if (!text.empty()) {
    list.children.push_back({NodeKind::kText, std::string(text)});
  }
}

void append(Node& list, Node part) {
  if (part.kind == NodeKind::kText) {
    append_text(list, part.text);
  } else {
    list.children.push_back(std::move(part));
  }
}

// One bracket and what is in it, parted by ':' or '|'.
struct Segments {
  std::vector<Node> lists;
  std::string separators;  // "::" of [a:b:3]
};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Node all() {
    Node list{NodeKind::kList, {}};
    while (at_ < text_.size()) {
      if (auto node = bracket(0)) {
        append(list, *std::move(node));
      } else {
        append_text(list, literal());
      }
    }
    return list;
  }

 private:
  // A character as it is, with the one that a backslash escapes.
  std::string_view literal() {
    const size_t length = text_[at_] == '\\' && at_ + 1 < text_.size() ? 2 : 1;
    at_ += length;
    return text_.substr(at_ - length, length);
  }

  // What begins with a bracket here; nothing, and no step further, if none does or it is not well
  // formed.
  std::optional<Node> bracket(int depth) {
    if (depth >= kMostDepth || (text_[at_] != '(' && text_[at_] != '[')) return std::nullopt;
    const size_t begin = at_;
    const char open = text_[at_++];
    auto segments = inside(open == '(' ? ')' : ']', depth);
    if (segments) {
      const std::string_view whole = text_.substr(begin, at_ - begin);
      if (auto node = open == '(' ? round(*segments) : square(*segments, whole)) return node;
    }
    at_ = begin;
    return std::nullopt;
  }

  std::optional<Segments> inside(char close, int depth) {
    Segments segments{{{NodeKind::kList, {}}}, {}};
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == close) {
        ++at_;
        return segments;
      }
      if (c == ')' || c == ']') return std::nullopt;
      if (c == '(' || c == '[') {
        auto node = bracket(depth + 1);
        if (!node) return std::nullopt;
        append(segments.lists.back(), *std::move(node));
      } else if (c == ':' || c == '|') {
        ++at_;
        segments.separators += c;
        segments.lists.push_back({NodeKind::kList, {}});
      } else {
        append_text(segments.lists.back(), literal());
      }
    }
    return std::nullopt;
  }

  static Node joined(const Segments& segments, size_t begin, size_t end) {
    Node list{NodeKind::kList, {}};
    for (size_t i = begin; i < end; ++i) {
      if (i > begin) append_text(list, std::string_view(segments.separators).substr(i - 1, 1));
      for (const Node& part : segments.lists[i].children) append(list, part);
    }
    return list;
  }

  static Node in_brackets(const Segments& segments, const char* open, const char* close) {
    Node list{NodeKind::kList, {}};
    append_text(list, open);
    for (const Node& part : joined(segments, 0, segments.lists.size()).children) {
      append(list, part);
    }
    append_text(list, close);
    return list;
  }

  // (x) and (x:1.3) are text to this parser, but what is inside may change.
  static std::optional<Node> round(const Segments& segments) {
    const auto colons = std::count(segments.separators.begin(), segments.separators.end(), ':');
    if (colons > 1) return std::nullopt;
    return in_brackets(segments, "(", ")");
  }

  std::optional<Node> square(const Segments& segments, std::string_view whole) const {
    const std::string& marks = segments.separators;
    if (marks.empty()) return in_brackets(segments, "[", "]");
    if (marks.find(':') == marks.npos) {
      return Node{NodeKind::kAlternate, std::string(whole), segments.lists};
    }
    const Node& last = segments.lists.back();
    const bool plain = last.children.size() == 1 && last.children[0].kind == NodeKind::kText;
    if (!plain || marks.back() != ':' || !schedule_number(last.children[0].text)) {
      return std::nullopt;
    }
    const size_t count = segments.lists.size();
    const auto colon = marks.find(':');
    const bool has_from = colon + 1 < marks.size();
    if (std::count(marks.begin(), marks.end(), ':') > 2) return std::nullopt;
    Node node{NodeKind::kScheduled, std::string(whole)};
    node.children.push_back(has_from ? joined(segments, 0, colon + 1) : Node{NodeKind::kList, {}});
    node.children.push_back(joined(segments, has_from ? colon + 1 : 0, count - 1));
    node.when = std::string(trimmed(last.children[0].text));
    return node;
  }

  std::string_view text_;
  size_t at_ = 0;
};

// How many steps come before the change.
int step_of(const std::string& when, int steps) {
  const double number = schedule_number(when).value_or(0);
  const bool share = when.find('.') != when.npos;
  const double step = std::trunc(share ? number * steps : number);
  return static_cast<int>(std::clamp(step, 0.0, static_cast<double>(steps)));
}

void collect_ends(const Node& node, int steps, std::set<int>& ends) {
  if (node.kind == NodeKind::kScheduled) ends.insert(step_of(node.when, steps));
  if (node.kind == NodeKind::kAlternate) {
    for (int step = 1; step <= steps; ++step) ends.insert(step);
  }
  for (const Node& child : node.children) collect_ends(child, steps, ends);
}

// step: the first is 0.
void append_at(const Node& node, int step, int steps, std::string& out) {
  switch (node.kind) {
    case NodeKind::kText:
      out += node.text;
      return;
    case NodeKind::kList:
      for (const Node& child : node.children) append_at(child, step, steps, out);
      return;
    case NodeKind::kScheduled:
      append_at(node.children[step < step_of(node.when, steps) ? 0 : 1], step, steps, out);
      return;
    case NodeKind::kAlternate:
      append_at(node.children[static_cast<size_t>(step) % node.children.size()], step, steps, out);
      return;
  }
}

const Node* first_change(const Node& node) {
  if (node.kind == NodeKind::kScheduled || node.kind == NodeKind::kAlternate) return &node;
  for (const Node& child : node.children) {
    if (const Node* found = first_change(child)) return found;
  }
  return nullptr;
}

// Where a word of its own begins; npos if there is none from `at` on.
size_t find_word(std::string_view text, std::string_view word, size_t at = 0) {
  const auto is_word = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '_' || byte >= 0x80 || std::isalnum(byte);
  };
  for (at = text.find(word, at); at != text.npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]))) break;
  }
  return at;
}

JoinedPrompt joined_prompt(std::string_view part) {
  const size_t colon = part.rfind(':');
  const auto weight = colon == part.npos ? std::nullopt : schedule_number(part.substr(colon + 1));
  JoinedPrompt joined;
  if (weight) {
    joined.weight = *weight;
    part = part.substr(0, colon);
  }
  joined.prompt = std::string(trimmed(part));
  return joined;
}

// "(x:1.3)", with the shortest x.
std::string weight_in(std::string_view prompt) {
  for (size_t close = prompt.find(')'); close != prompt.npos; close = prompt.find(')', close + 1)) {
    const size_t colon = prompt.rfind(':', close), open = prompt.rfind('(', close);
    if (colon == prompt.npos || open == prompt.npos || open > colon) continue;
    if (schedule_number(prompt.substr(colon + 1, close - colon - 1))) {
      return std::string(prompt.substr(open, close + 1 - open));
    }
  }
  return "";
}

}  // namespace

std::vector<PromptPhase> prompt_phases(std::string_view prompt, int steps) {
  if (prompt.find('[') == prompt.npos) return {{steps, std::string(prompt)}};
  const Node tree = Parser(prompt).all();
  std::set<int> ends = {steps};
  collect_ends(tree, steps, ends);
  ends.erase(0);
  std::vector<PromptPhase> phases;
  int begin = 0;
  for (const int end : ends) {
    std::string text;
    append_at(tree, begin, steps, text);
    if (!phases.empty() && phases.back().prompt == text) {
      phases.back().end_step = end;
    } else {
      phases.push_back({end, std::move(text)});
    }
    begin = end;
  }
  return phases;
}

std::vector<JoinedPrompt> joined_prompts(const std::string& prompt) {
  constexpr std::string_view kAnd = "AND";
  std::vector<JoinedPrompt> parts;
  size_t begin = 0;
  for (size_t at = find_word(prompt, kAnd); at != prompt.npos;
       at = find_word(prompt, kAnd, begin)) {
    parts.push_back(joined_prompt(std::string_view(prompt).substr(begin, at - begin)));
    begin = at + kAnd.size();
  }
  if (parts.empty()) return {{prompt}};
  parts.push_back(joined_prompt(std::string_view(prompt).substr(begin)));
  return parts;
}

std::string syntax_in(std::string_view prompt) {
  const Node tree = Parser(prompt).all();
  if (const Node* change = first_change(tree)) return change->text;
  if (std::string weight = weight_in(prompt); !weight.empty()) return weight;
  for (const char* word : {"BREAK", "AND"}) {
    if (find_word(prompt, word) != prompt.npos) return word;
  }
  const size_t tag = prompt.find("<lora:"), end = prompt.find('>', tag == prompt.npos ? 0 : tag);
  return tag == prompt.npos || end == prompt.npos ? ""
                                                  : std::string(prompt.substr(tag, end + 1 - tag));
}

std::string words_behind(const std::string& text,
                         const std::function<bool(std::string_view)>& fits) {
  if (fits(text)) return "";
  const std::u32string characters = decode_utf8(text);
  // The most characters that fit.
  size_t low = 0, high = characters.size();
  while (high - low > 1) {
    const size_t middle = low + (high - low) / 2;
    (fits(encode_utf8(characters.substr(0, middle))) ? low : high) = middle;
  }
  size_t cut = low;
  const auto is_part = [&](size_t i) {
    return i < characters.size() && !is_python_space(characters[i]);
  };
  // Back to where the word begins, if it begins near.
  constexpr size_t kLongestWord = 40;
  size_t begin = cut;
  while (begin > 0 && cut - begin < kLongestWord && is_part(begin - 1)) --begin;
  if (is_part(cut) && (begin == 0 || !is_part(begin - 1)) && begin > 0) cut = begin;
  while (cut < characters.size() && is_python_space(characters[cut])) ++cut;
  return encode_utf8(characters.substr(cut));
}

}  // namespace pangu::text
