// The rules are those of Stable Diffusion web UI (prompt_parser, sd_hijack_clip, extra_networks),
// restated; tests/parity has a second restatement in Python.
#include "text/prompt.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "core/error.h"
#include "core/message.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace pangu::text {
namespace {

constexpr double kRound = 1.1;
constexpr double kSquare = 1 / 1.1;
constexpr std::u32string_view kBreak = U"BREAK";
constexpr std::u32string_view kEscaped = U"()[]\\";
constexpr std::u32string_view kMarks = U"\\()[]:";

// \w of Python's re.
bool is_python_word(char32_t c) { return is_letter(c) || is_number(c) || c == U'_'; }

std::u32string decoded(std::string_view prompt) {
  if (prompt.size() > kMaxPromptBytes) {
    throw bad_input("prompt", "at most " + std::to_string(kMaxPromptBytes) + " bytes",
                    std::to_string(prompt.size()));
  }
  return decode_utf8(prompt);
}

// A finite number, the whole of the text but for spaces around it.
std::optional<double> number_of(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = problem == std::errc() && end == text.data() + text.size();
  if (!whole || !std::isfinite(value)) return std::nullopt;
  return value;
}

struct Weight {
  size_t length = 0;  // of ":1.3)"; 0: none here
  double value = 1;
};

Weight weight_at(std::u32string_view text, size_t at) {
  const auto skip_space = [&](size_t from) {
    while (from < text.size() && is_python_space(text[from])) ++from;
    return from;
  };
  const size_t begin = skip_space(at + 1);
  size_t end = begin;
  std::string digits;
  while (end < text.size() && ((text[end] >= U'0' && text[end] <= U'9') || text[end] == U'.' ||
                               (end == begin && (text[end] == U'+' || text[end] == U'-')))) {
    digits.push_back(static_cast<char>(text[end++]));
  }
  const size_t bracket = skip_space(end);
  if (bracket >= text.size() || text[bracket] != U')') return {};
  const auto value = number_of(digits);
  return value ? Weight{bracket + 1 - at, *value} : Weight{};
}

struct Part {
  std::u32string text;
  double weight = 1;
  bool is_break = false;
};

// Splits plain text at every word BREAK.
void append_plain(std::u32string_view text, std::vector<Part>& parts) {
  size_t begin = 0;
  for (size_t at = text.find(kBreak); at != text.npos; at = text.find(kBreak, at)) {
    const size_t end = at + kBreak.size();
    const bool is_word = (at == 0 || !is_python_word(text[at - 1])) &&
                         (end == text.size() || !is_python_word(text[end]));
    if (!is_word) {
      at = end;
      continue;
    }
    size_t before = at;
    while (before > begin && is_python_space(text[before - 1])) --before;
    parts.push_back({std::u32string(text.substr(begin, before - begin))});
    parts.push_back({{}, 1, true});
    begin = end;
    while (begin < text.size() && is_python_space(text[begin])) ++begin;
    at = begin;
  }
  parts.push_back({std::u32string(text.substr(begin))});
}

void multiply_from(size_t begin, double weight, std::vector<Part>& parts) {
  for (size_t i = begin; i < parts.size(); ++i) parts[i].weight *= weight;
}

std::vector<Part> parse(std::u32string_view text) {
  std::vector<Part> parts;
  std::vector<size_t> round, square;  // where the open brackets began
  const auto close = [&](std::vector<size_t>& open, double weight) {
    multiply_from(open.back(), weight, parts);
    open.pop_back();
  };
  for (size_t at = 0; at < text.size();) {
    const char32_t c = text[at];
    if (c == U'\\') {
      const bool escapes = at + 1 < text.size() && kEscaped.find(text[at + 1]) != kEscaped.npos;
      parts.push_back({escapes ? std::u32string(1, text[at + 1]) : std::u32string()});
      at += escapes ? 2 : 1;
    } else if (c == U'(' || c == U'[') {
      (c == U'(' ? round : square).push_back(parts.size());
      ++at;
    } else if (const Weight weight = c == U':' ? weight_at(text, at) : Weight{};
               weight.length > 0) {
      if (round.empty()) {
        append_plain(text.substr(at, weight.length), parts);
      } else {
        close(round, weight.value);
      }
      at += weight.length;
    } else if (c == U')' && !round.empty()) {
      close(round, kRound);
      ++at;
    } else if (c == U']' && !square.empty()) {
      close(square, kSquare);
      ++at;
    } else {
      size_t end = at + 1;
      const bool is_mark = kMarks.find(c) != kMarks.npos;
      while (!is_mark && end < text.size() && kMarks.find(text[end]) == kMarks.npos) ++end;
      append_plain(text.substr(at, end - at), parts);
      at = end;
    }
  }
  for (const size_t begin : round) multiply_from(begin, kRound, parts);
  for (const size_t begin : square) multiply_from(begin, kSquare, parts);
  return parts;
}

// One chunk that is being filled, and those that are full.
struct Chunker {
  const ChunkOptions& options;
  std::vector<Chunk> done;
  std::vector<int32_t> ids;
  std::vector<float> weights;
  size_t after_comma = 0;  // one behind the last comma of the chunk; 0: none

  void finish() {
    if (done.size() >= options.max_chunks) {
      throw bad_input("prompt", "at most " + std::to_string(options.max_chunks) + " chunks of " +
                                    std::to_string(options.chunk_tokens) + " tokens");
    }
    Chunk chunk;
    chunk.token_count = ids.size();
    chunk.ids.push_back(options.bos);
    chunk.ids.insert(chunk.ids.end(), ids.begin(), ids.end());
    chunk.ids.resize(options.chunk_tokens + 2, options.eos);
    chunk.weights.push_back(1);
    chunk.weights.insert(chunk.weights.end(), weights.begin(), weights.end());
    chunk.weights.resize(options.chunk_tokens + 2, 1);
    if (options.pad != options.eos) {
      const auto first = std::find(chunk.ids.begin(), chunk.ids.end(), options.eos);
      std::fill(first + 1, chunk.ids.end(), options.pad);
    }
    done.push_back(std::move(chunk));
    ids.clear();
    weights.clear();
    after_comma = 0;
  }

  void add(int32_t id, float weight) {
    const bool is_full = ids.size() == options.chunk_tokens;
    if (id == options.comma) {
      after_comma = ids.size() + 1;
    } else if (is_full && after_comma > 0 &&
               ids.size() - (after_comma - 1) <= options.comma_backtrack) {
      const auto cut = static_cast<std::ptrdiff_t>(after_comma);
      std::vector<int32_t> moved_ids(ids.begin() + cut, ids.end());
      std::vector<float> moved_weights(weights.begin() + cut, weights.end());
      ids.resize(after_comma);
      weights.resize(after_comma);
      finish();
      ids = std::move(moved_ids);
      weights = std::move(moved_weights);
    }
    if (ids.size() == options.chunk_tokens) finish();  // and forgets a comma that begins the next
    ids.push_back(id);
    weights.push_back(weight);
  }
};

std::vector<std::string> split_at_colons(std::string_view text) {
  std::vector<std::string> items(1);
  for (const char c : text) {
    if (c == ':') {
      items.emplace_back();
    } else {
      items.back().push_back(c);
    }
  }
  return items;
}

ExtraNetwork network_of(std::string kind, std::string_view arguments) {
  ExtraNetwork network;
  network.kind = std::move(kind);
  bool has_name = false;
  for (std::string& item : split_at_colons(arguments)) {
    const size_t equals = item.find('=');
    if (equals != item.npos && item.find('=', equals + 1) == item.npos) {
      network.named.emplace_back(item.substr(0, equals), item.substr(equals + 1));
    } else if (!has_name) {
      network.name = std::move(item);
      has_name = true;
    } else {
      network.values.push_back(std::move(item));
    }
  }
  if (network.name.empty()) {
    throw bad_input("<" + network.kind + ":" + std::string(arguments) + ">", "a name", "none",
                    "write <" + network.kind + ":name:0.8>");
  }
  return network;
}

}  // namespace

std::vector<WeightedText> parse_emphasis(std::string_view prompt) {
  std::vector<WeightedText> out;
  bool may_join = false;
  for (const Part& part : parse(decoded(prompt))) {
    if (!(std::abs(part.weight) <= std::numeric_limits<float>::max())) {
      throw bad_input("weight in the prompt", "a number that float32 can hold",
                      number_text(part.weight));
    }
    if (may_join && !part.is_break && out.back().weight == part.weight) {
      out.back().text += encode_utf8(part.text);
    } else if (part.is_break) {
      out.push_back({"", 0, true});
    } else {
      out.push_back({encode_utf8(part.text), part.weight, false});
    }
    may_join = !part.is_break;
  }
  if (out.empty()) out.emplace_back();
  return out;
}

std::vector<Chunk> chunk_prompt(const std::vector<WeightedText>& parts, const Tokenize& tokenize,
                                const ChunkOptions& options) {
  if (options.chunk_tokens == 0 || options.max_chunks == 0) {
    throw Error(ErrorCode::kInternal, "chunk_prompt: chunks must have room for a token");
  }
  Chunker chunker{options, {}, {}, {}};
  for (const WeightedText& part : parts) {
    if (part.is_break) {
      chunker.finish();
      continue;
    }
    const auto weight = static_cast<float>(part.weight);
    for (const int32_t id : tokenize(part.text)) chunker.add(id, weight);
  }
  if (!chunker.ids.empty() || chunker.done.empty()) chunker.finish();
  return std::move(chunker.done);
}

Chunk empty_chunk(const ChunkOptions& options) {
  return chunk_prompt({}, [](std::string_view) { return std::vector<int32_t>(); }, options)[0];
}

PromptWithNetworks extract_networks(std::string_view prompt) {
  const std::u32string text = decoded(prompt);
  PromptWithNetworks out;
  std::u32string rest;
  size_t unclosed = text.npos;  // from here on no '>' follows
  for (size_t at = 0; at < text.size();) {
    size_t colon = at + 1;
    if (text[at] == U'<' && at < unclosed) {
      while (colon < text.size() && is_python_word(text[colon])) ++colon;
    }
    const bool is_tag = colon > at + 1 && colon + 1 < text.size() && text[colon] == U':';
    const size_t end = is_tag ? text.find(U'>', colon + 1) : text.npos;
    if (is_tag && end == text.npos) unclosed = at;
    if (!is_tag || end == text.npos || end == colon + 1) {
      rest.push_back(text[at++]);
      continue;
    }
    const std::u32string_view all(text);
    out.networks.push_back(network_of(encode_utf8(all.substr(at + 1, colon - at - 1)),
                                      encode_utf8(all.substr(colon + 1, end - colon - 1))));
    at = end + 1;
  }
  out.prompt = encode_utf8(rest);
  return out;
}

NetworkWeights network_weights(const ExtraNetwork& network) {
  const std::string tag = "<" + network.kind + ":" + network.name + ">";
  const auto weight = [&](const std::string& text) {
    const auto value = number_of(text);
    if (!value) throw bad_input(tag, "a number as weight", text);
    return *value;
  };
  constexpr size_t kWeights = 2;
  if (network.values.size() > kWeights) {
    throw bad_input(tag, "one weight, or two", network.values[kWeights] + " as a third");
  }
  for (const auto& [key, value] : network.named) {
    if (key != "te" && key != "unet") {
      throw bad_input(tag, "te= and unet=", key + "=",
                      "weights of single blocks are not supported");
    }
  }
  NetworkWeights out;
  const auto named = [&](const char* key, double otherwise) {
    double value = otherwise;
    for (const auto& [name, text] : network.named) {
      if (name == key) value = weight(text);
    }
    return value;
  };
  if (!network.values.empty()) out.text_encoder = weight(network.values[0]);
  out.text_encoder = named("te", out.text_encoder);
  out.unet = network.values.size() > 1 ? weight(network.values[1]) : out.text_encoder;
  out.unet = named("unet", out.unet);
  return out;
}

}  // namespace pangu::text
