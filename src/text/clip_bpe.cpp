// Splitting and the specials; merging is text/byte_pairs.h, cleaning text/clean.h. The regular
// expression of both references, by hand:
//   specials | 's | 't | 're | 've | 'm | 'll | 'd | \p{L}+ | \p{N} | [^\s\p{L}\p{N}]+
#include "text/clip_bpe.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "text/clean.h"
#include "text/clip_files.h"
#include "text/read_file.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace pangu::text {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBos = "<|startoftext|>";
constexpr const char* kEos = "<|endoftext|>";
constexpr std::u32string_view kHubSpecials[] = {U"<|startoftext|>", U"<|endoftext|>"};
constexpr std::u32string_view kOpenClipSpecials[] = {U"<start_of_text>", U"<end_of_text>"};
constexpr size_t kOpenAiMerges = 49152 - 256 - 2;  // the file holds more; CLIP uses these
constexpr const char* kOpenAiFile = "bpe_simple_vocab_16e6.txt.gz";
constexpr char32_t kLongS = 0x17F;

// How many characters from `at` are one of the contractions, 0 if none.
size_t contraction(std::u32string_view text, size_t at, bool any_case) {
  if (text[at] != U'\'') return 0;
  const auto letter = [&](size_t offset) -> char32_t {
    if (at + offset >= text.size()) return 0;
    const char32_t c = text[at + offset];
    return any_case && c == kLongS ? U's' : c;  // the only other lower-case form of these letters
  };
  const char32_t first = letter(1), second = letter(2);
  if (first == U's' || first == U't') return 2;
  if ((first == U'r' || first == U'v') && second == U'e') return 3;
  if (first == U'm') return 2;
  if (first == U'l' && second == U'l') return 3;
  return first == U'd' ? 2 : 0;
}

size_t spelled(std::u32string_view text, size_t at, std::u32string_view word, bool any_case) {
  if (text.size() - at < word.size()) return 0;
  for (size_t i = 0; i < word.size(); ++i) {
    const char32_t c = text[at + i];
    if (c != word[i] && !(any_case && c == kLongS && word[i] == U's')) return 0;
  }
  return word.size();
}

// Calls visit(piece) for every match of the expression.
template <typename Visit>
void for_each_piece(std::u32string_view text, ClipCleaning cleaning, Visit visit) {
  const bool open_clip = cleaning == ClipCleaning::kOpenClip;
  const auto& specials = open_clip ? kOpenClipSpecials : kHubSpecials;
  // Ignoring case, Python's regex takes U+0345 for neither a letter nor another character.
  const auto is_rest = [&](char32_t c) {
    return !is_white_space(c) && !is_letter(c) && !is_number(c) && !(open_clip && c == 0x345);
  };
  for (size_t at = 0; at < text.size();) {
    size_t length = 0;
    if (text[at] == U'<') {
      for (const auto special : specials) {
        if (length == 0) length = spelled(text, at, special, open_clip);
      }
    }
    if (length == 0) length = contraction(text, at, open_clip);
    if (length == 0 && is_letter(text[at])) {
      while (at + length < text.size() && is_letter(text[at + length])) ++length;
    } else if (length == 0 && is_number(text[at])) {
      length = 1;
    } else if (length == 0) {
      while (at + length < text.size() && is_rest(text[at + length])) ++length;
    }
    if (length > 0) visit(text.substr(at, length));
    at += std::max<size_t>(length, 1);
  }
}

std::string optional_file(const fs::path& path) {
  return file_exists(path.string()) ? read_file(path.string(), "tokenizer file") : std::string();
}

SpecialTokens class_defaults() {
  SpecialTokens names;
  names.bos = kBos;
  names.eos = names.unk = names.pad = kEos;
  return names;
}

int32_t required_id(const Vocabulary& vocabulary, const std::string& content,
                    const std::string& name) {
  const int32_t id = vocabulary.find(content);
  if (id < 0) throw bad_input(name, "a vocabulary with the token '" + content + "'", "none");
  return id;
}

// Words that the file lists with an id get one if the vocabulary lacks them: that, if it is free.
Vocabulary with_added(Vocabulary vocabulary, const std::vector<AddedToken>& added,
                      const std::string& name) {
  for (const AddedToken& token : added) {
    if (token.content.empty() || token.id < 0 || vocabulary.find(token.content) >= 0) continue;
    vocabulary.add(token.content, vocabulary.has(token.id) ? vocabulary.size() : token.id, name);
  }
  return vocabulary;
}

}  // namespace

ClipTokenizer::ClipTokenizer(TokenizerFile file, const SpecialTokens& special,
                             ClipCleaning cleaning, const std::string& name)
    : cleaning_(cleaning),
      vocabulary_(with_added(std::move(file.vocabulary), special.added, name)),
      bos_(required_id(vocabulary_, special.bos, name)),
      eos_(required_id(vocabulary_, special.eos, name)),
      pad_(cleaning == ClipCleaning::kOpenClip ? 0 : required_id(vocabulary_, special.pad, name)),
      pairs_(vocabulary_, file.merges, "</w>", required_id(vocabulary_, special.unk, name), name) {
  add_special(special.added);
}

void ClipTokenizer::add_special(const std::vector<AddedToken>& tokens) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    const AddedToken& token = tokens[i];
    const auto same = [&](const AddedToken& other) { return other.content == token.content; };
    const auto later = tokens.begin() + static_cast<ptrdiff_t>(i) + 1;
    if (token.content.empty() || std::any_of(later, tokens.end(), same)) continue;
    const int32_t id = vocabulary_.find(token.content);
    if (id < 0) continue;
    if (token.special) special_ids_.push_back(id);
    // SimpleTokenizer has its own two, and meets them only when it splits.
    if (cleaning_ == ClipCleaning::kOpenClip && token.special) continue;
    std::u32string word = decode_utf8(token.content);
    if (token.normalized) word = normalise(word);
    if (!word.empty()) {
      (token.normalized ? normalised_ : raw_).add(std::move(word), {id}, token.single_word);
    }
  }
}

ClipTokenizer ClipTokenizer::from_json(std::string_view tokenizer_json,
                                       std::string_view config_json, std::string_view map_json,
                                       ClipCleaning cleaning, const std::string& name) {
  TokenizerFile file = read_tokenizer_json(tokenizer_json, name);
  if (file.model_type != "BPE") {
    throw bad_input(name + ", key 'model.type'", "BPE", file.model_type);
  }
  if (file.end_of_word_suffix != "</w>") {
    throw bad_input(name + ", key 'model.end_of_word_suffix'", "</w>, as CLIP has it",
                    file.end_of_word_suffix);
  }
  const auto special =
      read_special_tokens(config_json, map_json, class_defaults(), file.added, name);
  return ClipTokenizer(std::move(file), special, cleaning, name);
}

ClipTokenizer ClipTokenizer::from_vocabulary(std::string_view vocab_json,
                                             std::string_view merges_txt,
                                             std::string_view config_json,
                                             std::string_view map_json, ClipCleaning cleaning,
                                             const std::string& name) {
  TokenizerFile file;
  file.vocabulary = read_vocab_json(vocab_json, name + "/vocab.json");
  file.merges = read_merges(merges_txt, name + "/merges.txt");
  const auto special = read_special_tokens(config_json, map_json, class_defaults(), {}, name);
  return ClipTokenizer(std::move(file), special, cleaning, name);
}

ClipTokenizer ClipTokenizer::from_openai_merges(std::string_view text, ClipCleaning cleaning,
                                                const std::string& name) {
  TokenizerFile file = read_openai_merges(text, name);
  const auto special = read_special_tokens({}, {}, class_defaults(), {}, name);
  return ClipTokenizer(std::move(file), special, cleaning, name);
}

ClipTokenizer ClipTokenizer::from_path(const std::string& path, ClipCleaning cleaning) {
  std::error_code ignored;
  const bool is_folder = fs::is_directory(path, ignored);
  const fs::path folder = is_folder ? fs::path(path) : fs::path(path).parent_path();
  const auto there = [&](const char* name) { return file_exists((folder / name).string()); };
  std::string file = path;
  if (is_folder && there("tokenizer.json")) file = (folder / "tokenizer.json").string();
  const bool has_pair = is_folder && there("vocab.json") && there("merges.txt");
  if (is_folder && file == path && !has_pair && there(kOpenAiFile)) {
    file = (folder / kOpenAiFile).string();
  }
  if (file.ends_with(".gz")) {
    const std::string text =
        gunzip_lines(read_file(file, "tokenizer"), kOpenAiMerges + 1, size_t{4} << 20, file);
    return from_openai_merges(text, cleaning, file);
  }
  const std::string config = optional_file(folder / "tokenizer_config.json");
  const std::string map = optional_file(folder / "special_tokens_map.json");
  if (file != path || !is_folder) {
    return from_json(read_file(file, "tokenizer"), config, map, cleaning, file);
  }
  if (!has_pair) {
    throw bad_input("tokenizer folder '" + path + "'",
                    "tokenizer.json, or vocab.json and merges.txt, or " + std::string(kOpenAiFile),
                    "none of them");
  }
  return from_vocabulary(read_file((folder / "vocab.json").string(), "tokenizer"),
                         read_file((folder / "merges.txt").string(), "tokenizer"), config, map,
                         cleaning, path);
}

std::u32string ClipTokenizer::normalise(std::u32string_view text) const {
  if (cleaning_ == ClipCleaning::kOpenClip) return clean_open_clip(text);
  const std::u32string composed = to_nfc(text);
  std::u32string spaced;
  spaced.reserve(composed.size());
  bool after_space = false;
  for (const char32_t c : composed) {
    const bool space = is_white_space(c);
    if (!space) spaced.push_back(c);
    if (space && !after_space) spaced.push_back(U' ');
    after_space = space;
  }
  return to_lower(spaced);
}

void ClipTokenizer::append_words(std::u32string_view text, std::vector<int32_t>& ids) const {
  const auto append = [&](std::u32string_view piece) { pairs_.append(encode_utf8(piece), ids); };
  for_each_piece(text, cleaning_, [&](std::u32string_view piece) {
    if (cleaning_ == ClipCleaning::kOpenClip) {
      if (piece == kOpenClipSpecials[0]) return ids.push_back(bos_);
      if (piece == kOpenClipSpecials[1]) return ids.push_back(eos_);
    } else if (piece == kHubSpecials[0] || piece == kHubSpecials[1]) {
      // Met by the splitting and not as an added word: GPT-2's expression, which comes second,
      // parts it again.
      append(piece.substr(0, 2));
      append(piece.substr(2, piece.size() - 4));
      return append(piece.substr(piece.size() - 2));
    }
    append(piece);
  });
}

void ClipTokenizer::append_normalised(std::u32string_view text, std::vector<int32_t>& ids) const {
  normalised_.split(
      normalise(text), [&](std::u32string_view part) { append_words(part, ids); },
      [&](const std::vector<int32_t>& added) {
        ids.insert(ids.end(), added.begin(), added.end());
      });
}

std::vector<int32_t> ClipTokenizer::tokenize(std::string_view text) const {
  std::vector<int32_t> ids;
  const std::u32string decoded = decode_utf8(text);
  raw_.split(
      decoded, [&](std::u32string_view part) { append_normalised(part, ids); },
      [&](const std::vector<int32_t>& added) {
        ids.insert(ids.end(), added.begin(), added.end());
      });
  return ids;
}

std::vector<int32_t> ClipTokenizer::encode(std::string_view text, size_t max_length,
                                           std::optional<int32_t> pad_id) const {
  if (max_length < 2) {
    throw Error(ErrorCode::kInternal, "encode: max_length must leave room for begin and end");
  }
  std::vector<int32_t> ids = tokenize(text);
  if (ids.size() > max_length - 2) ids.resize(max_length - 2);
  ids.insert(ids.begin(), bos_);
  ids.push_back(eos_);
  ids.resize(max_length, pad_id.value_or(pad_));
  return ids;
}

std::string ClipTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const int32_t id : ids) {
    const bool special = std::count(special_ids_.begin(), special_ids_.end(), id) > 0;
    if (skip_special && special) continue;
    const auto added = added_names_.find(id);
    if (added != added_names_.end()) {
      bytes += bytes_of_token(added->second);
    } else {
      bytes += bytes_of_token(vocabulary_.token(id));
    }
  }
  const std::u32string text = decode_utf8(bytes);
  constexpr std::u32string_view kSuffix = U"</w>";
  std::u32string out;
  for (size_t at = 0; at < text.size();) {
    const bool suffix = std::u32string_view(text).substr(at, kSuffix.size()) == kSuffix;
    out.push_back(suffix ? U' ' : text[at]);
    at += suffix ? kSuffix.size() : 1;
  }
  return encode_utf8(python_strip(out));
}

void ClipTokenizer::add_token(const std::string& word, std::vector<int32_t> ids) {
  std::u32string normal = normalise(decode_utf8(word));
  if (normal.empty() || normal == U" ") {
    throw bad_input("placeholder word '" + word + "'", "at least one visible character");
  }
  if (ids.empty() || *std::min_element(ids.begin(), ids.end()) < 0) {
    throw bad_input("ids of the placeholder word '" + word + "'", "at least one, none negative");
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    if (vocabulary_.has(ids[i])) continue;
    added_names_[ids[i]] = i == 0 ? word : word + "_" + std::to_string(i);
  }
  normalised_.add(std::move(normal), std::move(ids));
}

}  // namespace pangu::text
