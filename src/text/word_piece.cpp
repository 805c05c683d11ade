// The order of steps follows Hugging Face tokenizers (BertNormalizer, BertPreTokenizer, WordPiece)
// and, for PanGu-Draw, its released WordpieceTokenizer. The ranges of Chinese characters are those
// of BERT; Hugging Face's begin extension E at 2B920.
#include "text/word_piece.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "text/read_file.h"
#include "text/unicode.h"
#include "text/unicode_8.h"
#include "text/utf8.h"

namespace pangu::text {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxWordChars = 100;

bool in(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }

bool is_chinese(char32_t c, BertRules rules) {
  const char32_t extension_e = rules == BertRules::kTransformers ? 0x2B920 : 0x2B820;
  return in(c, 0x4E00, 0x9FFF) || in(c, 0x3400, 0x4DBF) || in(c, 0x20000, 0x2A6DF) ||
         in(c, 0x2A700, 0x2B73F) || in(c, 0x2B740, 0x2B81F) || in(c, extension_e, 0x2CEAF) ||
         in(c, 0xF900, 0xFAFF) || in(c, 0x2F800, 0x2FA1F);
}

bool is_removed(char32_t c, BertRules rules) {
  if (c == U'\t' || c == U'\n' || c == U'\r') return false;
  if (c == 0 || c == kReplacement) return true;
  return rules == BertRules::kTransformers ? was_other(c) : is_other(c);
}

bool becomes_space(char32_t c, BertRules rules) {
  if (c == U'\t' || c == U'\n' || c == U'\r') return true;
  return rules == BertRules::kTransformers ? is_white_space(c) : is_space_separator(c);
}

bool splits(char32_t c, BertRules rules) {
  if (c < 0x80) return in(c, 33, 47) || in(c, 58, 64) || in(c, 91, 96) || in(c, 123, 126);
  return rules == BertRules::kTransformers ? was_punctuation(c) : is_punctuation(c);
}

std::u32string without_accents(std::u32string_view text, BertRules rules) {
  std::u32string out = to_nfd(text);
  std::erase_if(out, [&](char32_t c) {
    return rules == BertRules::kTransformers ? was_nonspacing_mark(c) : is_nonspacing_mark(c);
  });
  return out;
}

// Calls visit(word) between the characters that `is_gap` says.
template <typename IsGap, typename Visit>
void for_each_word(std::u32string_view text, IsGap is_gap, Visit visit) {
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && !is_gap(text[end])) ++end;
    if (end > at) visit(text.substr(at, end - at));
    at = std::max(end, at + 1);
  }
}

// Punctuation marks are words of one character.
template <typename Visit>
void for_each_part(std::u32string_view word, BertRules rules, Visit visit) {
  for (size_t at = 0; at < word.size();) {
    size_t end = at;
    while (end < word.size() && !splits(word[end], rules)) ++end;
    if (end == at) ++end;
    visit(word.substr(at, end - at));
    at = end;
  }
}

Vocabulary read_vocab_txt(std::string_view text, BertRules rules, const std::string& name) {
  Vocabulary vocabulary;
  for (int64_t id = 0; !text.empty(); ++id) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::u32string line = decode_utf8(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    std::u32string_view token = python_strip(line);
    if (rules == BertRules::kTransformers) {
      token = line;
      while (!token.empty() && is_white_space(token.back())) token.remove_suffix(1);
    }
    vocabulary.add(encode_utf8(token), id, name);
  }
  if (vocabulary.size() == 0) throw bad_input(name, "one token a line", "no line");
  return vocabulary;
}

SpecialTokens class_defaults() {
  SpecialTokens names;
  names.unk = "[UNK]";
  names.sep = "[SEP]";
  names.pad = "[PAD]";
  names.cls = "[CLS]";
  names.mask = "[MASK]";
  return names;
}

int32_t required_id(const Vocabulary& vocabulary, const std::string& token,
                    const std::string& name) {
  const int32_t id = vocabulary.find(token);
  if (id < 0) throw bad_input(name, "a vocabulary with the token '" + token + "'", "none");
  return id;
}

std::string optional_file(const fs::path& path) {
  return file_exists(path.string()) ? read_file(path.string(), "tokenizer file") : std::string();
}

}  // namespace

WordPieceTokenizer::WordPieceTokenizer(TokenizerFile file, const SpecialTokens& special,
                                       BertRules rules, const std::string& name)
    : rules_(rules),
      vocabulary_(std::move(file.vocabulary)),
      prefix_(file.continuing_prefix),
      max_word_chars_(static_cast<size_t>(std::max<int64_t>(0, file.max_word_chars))),
      lower_case_(special.lower_case),
      strip_accents_(special.strip_accents < 0 ? special.lower_case : special.strip_accents == 1),
      space_chinese_(special.tokenize_chinese_chars),
      cls_(required_id(vocabulary_, special.cls, name)),
      sep_(required_id(vocabulary_, special.sep, name)),
      pad_(required_id(vocabulary_, special.pad, name)),
      unknown_(required_id(vocabulary_, special.unk, name)) {
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    if (!vocabulary_.has(id)) continue;
    const std::string& token = vocabulary_.token(id);
    const auto is_first = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
    const auto chars = std::count_if(token.begin(), token.end(), is_first);
    longest_chars_ = std::max(longest_chars_, static_cast<size_t>(chars));
  }
  for (const AddedToken& token : special.added) {
    const int32_t id = vocabulary_.find(token.content);
    if (id < 0 || token.content.empty()) continue;
    if (token.special) special_ids_.push_back(id);
    const std::u32string word = decode_utf8(token.content);
    if (token.normalized) {
      const std::u32string normal = spaced(word);
      if (!normal.empty()) normalised_.add(normal, {id}, token.single_word);
    } else {
      raw_.add(word, {id}, token.single_word);
    }
  }
}

WordPieceTokenizer WordPieceTokenizer::from_vocabulary(std::string_view vocab_txt,
                                                       std::string_view config_json,
                                                       std::string_view map_json, BertRules rules,
                                                       const std::string& name) {
  TokenizerFile file;
  file.vocabulary = read_vocab_txt(vocab_txt, rules, name);
  file.continuing_prefix = "##";
  file.max_word_chars = kMaxWordChars;
  const auto special = read_special_tokens(config_json, map_json, class_defaults(), {}, name);
  return WordPieceTokenizer(std::move(file), special, rules, name);
}

WordPieceTokenizer WordPieceTokenizer::from_json(std::string_view tokenizer_json,
                                                 std::string_view config_json,
                                                 std::string_view map_json, BertRules rules,
                                                 const std::string& name) {
  TokenizerFile file = read_tokenizer_json(tokenizer_json, name);
  if (file.model_type != "WordPiece") {
    throw bad_input(name + ", key 'model.type'", "WordPiece", file.model_type);
  }
  // BertTokenizer takes only the vocabulary from here.
  file.continuing_prefix = "##";
  file.max_word_chars = kMaxWordChars;
  const auto special =
      read_special_tokens(config_json, map_json, class_defaults(), file.added, name);
  return WordPieceTokenizer(std::move(file), special, rules, name);
}

WordPieceTokenizer WordPieceTokenizer::from_path(const std::string& path, BertRules rules) {
  std::error_code ignored;
  const bool is_folder = fs::is_directory(path, ignored);
  const fs::path folder = is_folder ? fs::path(path) : fs::path(path).parent_path();
  const std::string config = optional_file(folder / "tokenizer_config.json");
  const std::string map = optional_file(folder / "special_tokens_map.json");
  std::string file = path;
  if (is_folder) {
    file = (folder / "tokenizer.json").string();
    if (!file_exists(file)) file = (folder / "vocab.txt").string();
    if (!file_exists(file)) {
      throw bad_input("tokenizer folder '" + path + "'", "tokenizer.json or vocab.txt",
                      "neither of them");
    }
  }
  const std::string text = read_file(file, "tokenizer");
  return file.ends_with(".json") ? from_json(text, config, map, rules, file)
                                 : from_vocabulary(text, config, map, rules, file);
}

// Without control characters, other white space made spaces, Chinese characters between spaces;
// for kTransformers also accents and case, which PanGu-Draw does word by word.
std::u32string WordPieceTokenizer::spaced(std::u32string_view text) const {
  std::u32string out;
  out.reserve(text.size() * 2);
  for (const char32_t c : text) {
    if (is_removed(c, rules_)) continue;
    const bool apart = space_chinese_ && is_chinese(c, rules_);
    if (apart) out.push_back(U' ');
    out.push_back(becomes_space(c, rules_) ? U' ' : c);
    if (apart) out.push_back(U' ');
  }
  if (rules_ == BertRules::kPanGu) return out;
  if (strip_accents_) out = without_accents(out, rules_);
  return lower_case_ ? to_lower(out) : out;
}

void WordPieceTokenizer::append_hub(std::u32string_view text, std::vector<int32_t>& ids) const {
  for_each_word(text, is_white_space, [&](std::u32string_view word) {
    for_each_part(word, rules_, [&](std::u32string_view part) { append_word(part, ids); });
  });
}

void WordPieceTokenizer::append_pangu(std::u32string_view text, std::vector<int32_t>& ids) const {
  constexpr std::u32string_view kKept[] = {U"[UNK]", U"[CLS]", U"[SEP]"};
  for_each_word(spaced(text), is_python_space, [&](std::u32string_view word) {
    const auto* kept = std::find(std::begin(kKept), std::end(kKept), word);
    if (kept != std::end(kKept)) {
      const int32_t id = vocabulary_.find(encode_utf8(word));
      return ids.push_back(id < 0 ? unknown_ : id);
    }
    std::u32string plain(word);
    if (lower_case_) plain = to_lower_final_sigma(plain);
    if (strip_accents_) plain = without_accents(plain, rules_);
    for_each_part(plain, rules_, [&](std::u32string_view part) {
      for_each_word(part, is_python_space,
                    [&](std::u32string_view inner) { append_word(inner, ids); });
    });
  });
}

void WordPieceTokenizer::append_word(std::u32string_view word, std::vector<int32_t>& ids) const {
  if (word.size() > max_word_chars_) return ids.push_back(unknown_);
  const size_t begin = ids.size();
  std::string piece;
  for (size_t at = 0; at < word.size();) {
    int32_t id = -1;
    size_t end = std::min(word.size(), at + longest_chars_);
    for (; end > at && id < 0; --end) {
      piece = at > 0 ? prefix_ : std::string();
      piece += encode_utf8(word.substr(at, end - at));
      id = vocabulary_.find(piece);
    }
    if (id < 0) {
      ids.resize(begin);
      return ids.push_back(unknown_);
    }
    ids.push_back(id);
    at = end + 1;
  }
}

std::vector<int32_t> WordPieceTokenizer::tokenize(std::string_view text) const {
  std::vector<int32_t> ids;
  const std::u32string decoded = decode_utf8(text);
  if (rules_ == BertRules::kPanGu) {
    append_pangu(decoded, ids);
    return ids;
  }
  const auto on_ids = [&](const std::vector<int32_t>& added) {
    ids.insert(ids.end(), added.begin(), added.end());
  };
  const auto on_normal = [&](std::u32string_view part) { append_hub(part, ids); };
  const auto on_raw = [&](std::u32string_view part) {
    normalised_.split(spaced(part), on_normal, on_ids);
  };
  raw_.split(decoded, on_raw, on_ids);
  return ids;
}

std::vector<int32_t> WordPieceTokenizer::encode(std::string_view text, size_t max_length,
                                                std::optional<int32_t> pad_id) const {
  if (max_length < 2) {
    throw Error(ErrorCode::kInternal, "encode: max_length must leave room for [CLS] and [SEP]");
  }
  std::vector<int32_t> ids = tokenize(text);
  if (ids.size() > max_length - 2) ids.resize(max_length - 2);
  ids.insert(ids.begin(), cls_);
  ids.push_back(sep_);
  ids.resize(max_length, pad_id.value_or(pad_));
  return ids;
}

std::string WordPieceTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string out;
  for (const int32_t id : ids) {
    const bool special = std::count(special_ids_.begin(), special_ids_.end(), id) > 0;
    if (skip_special && special) continue;
    const std::string& token = vocabulary_.token(id);
    const bool continues = !out.empty() && token.starts_with(prefix_);
    if (!out.empty() && !continues) out += ' ';
    out += continues ? token.substr(prefix_.size()) : token;
  }
  return out;
}

}  // namespace pangu::text
