// tokenizer.json and vocab.json are read by events (nlohmann's SAX), as a tree of 50,000 tokens
// costs more than the tokens. The order of special tokens is that of transformers 5.19, seen by
// loading folders with it.
#include "text/tokenizer_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace pangu::text {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 64;

// Follows one file. Path of a value: the keys of the objects around it, "" for an array.
class Events : public nlohmann::json_sax<json> {
 public:
  Events(const std::string& name, bool whole) : name_(name), whole_(whole) {}

  TokenizerFile out;

  bool null() override { return scalar(); }
  bool boolean(bool value) override {
    if (in_added()) {
      AddedToken& token = out.added.back();
      if (key() == "special") token.special = value;
      if (key() == "normalized") token.normalized = value;
      if (key() == "single_word") token.single_word = value;
    }
    return scalar();
  }
  bool number_integer(int64_t value) override { return number(value); }
  bool number_unsigned(uint64_t value) override {
    return number(value > INT64_MAX ? INT64_MAX : static_cast<int64_t>(value));
  }
  bool number_float(double, const std::string&) override { return scalar(); }
  bool binary(json::binary_t&) override { return scalar(); }
  bool string(std::string& value) override {
    if (in_merges() && path_.size() == 3) {
      const size_t space = value.find(' ');
      if (space == std::string::npos || value.find(' ', space + 1) != std::string::npos) {
        throw bad_input(name_ + ", key 'model.merges'", "two pieces and one space", value);
      }
      add_merge(value.substr(0, space), value.substr(space + 1));
    } else if (in_merges() && path_.size() == 4) {
      if (pair_.size() == 2) throw bad_input(name_ + ", key 'model.merges'", "pairs");
      pair_.push_back(std::move(value));
    } else if (in_added()) {
      if (key() == "content") out.added.back().content = std::move(value);
    } else if (whole_ && path_.size() == 2 && path_[0] == "model") {
      if (key() == "type") out.model_type = std::move(value);
      if (key() == "unk_token") out.unknown_token = std::move(value);
      if (key() == "end_of_word_suffix") out.end_of_word_suffix = std::move(value);
      if (key() == "continuing_subword_prefix") out.continuing_prefix = std::move(value);
    } else {
      return scalar();
    }
    return true;
  }
  bool start_object(size_t) override {
    if (in_vocabulary()) refuse_vocabulary("an object");
    if (in_merges()) return scalar();
    push(false);
    if (in_added()) {
      if (out.added.size() >= kMaxTokenIds) throw bad_input(name_, "fewer added tokens");
      out.added.emplace_back();
    }
    return true;
  }
  bool key(std::string& value) override {
    path_.back() = std::move(value);
    return true;
  }
  bool end_object() override { return pop(); }
  bool start_array(size_t) override {
    if (in_vocabulary()) refuse_vocabulary("a list");
    if (whole_ && path_.size() == 2 && path_[0] == "model" && path_[1] == "vocab") {
      refuse_vocabulary("a list");
    }
    push(true);
    pair_.clear();
    return true;
  }
  bool end_array() override {
    if (in_merges() && path_.size() == 4) {
      if (pair_.size() != 2) throw bad_input(name_ + ", key 'model.merges'", "pairs");
      add_merge(std::move(pair_[0]), std::move(pair_[1]));
      pair_.clear();
    }
    return pop();
  }
  bool parse_error(size_t, const std::string&, const json::exception& problem) override {
    throw bad_input(name_, "JSON", problem.what());
  }

 private:
  enum class Section { kOther, kVocabulary, kMerges, kAdded };

  const std::string& key() const { return path_.back(); }
  void push(bool array) {
    if (path_.size() >= kMaxDepth) throw bad_input(name_, "less deeply nested JSON");
    path_.emplace_back();
    arrays_.push_back(array);
    if (path_.size() <= 3) section_ = section_here();
  }
  bool pop() {
    path_.pop_back();
    arrays_.pop_back();
    if (path_.size() <= 2) section_ = section_here();
    return true;
  }
  // Which list a value at this depth or deeper belongs to; asked only where that can change.
  Section section_here() const {
    if (!whole_) return path_.size() == 1 && !arrays_[0] ? Section::kVocabulary : Section::kOther;
    if (path_.size() == 3 && path_[0] == "model" && !arrays_[0] && !arrays_[1]) {
      if (path_[1] == "vocab" && !arrays_[2]) return Section::kVocabulary;
      if (path_[1] == "merges" && arrays_[2]) return Section::kMerges;
    }
    const bool listed = path_.size() == 3 && arrays_[1] && !arrays_[2];
    return listed && path_[0] == "added_tokens" ? Section::kAdded : Section::kOther;
  }
  bool in_vocabulary() const {
    return section_ == Section::kVocabulary && path_.size() == (whole_ ? 3U : 1U);
  }
  bool in_merges() const { return section_ == Section::kMerges; }
  bool in_added() const { return section_ == Section::kAdded && path_.size() == 3; }
  bool scalar() {
    if (in_vocabulary()) refuse_vocabulary("something else");
    if (in_merges()) throw bad_input(name_ + ", key 'model.merges'", "strings or pairs of them");
    return true;
  }
  bool number(int64_t value) {
    if (in_vocabulary()) {
      out.vocabulary.add(std::move(path_.back()), value, name_);
    } else if (in_added() && key() == "id") {
      if (value < 0 || value >= kMaxTokenIds) {
        throw bad_input(name_ + ", an added token's id", "0.." + std::to_string(kMaxTokenIds - 1),
                        std::to_string(value));
      }
      out.added.back().id = static_cast<int32_t>(value);
    } else if (whole_ && path_.size() == 2 && path_[0] == "model" &&
               key() == "max_input_chars_per_word") {
      out.max_word_chars = value;
    } else {
      return scalar();
    }
    return true;
  }
  void add_merge(std::string left, std::string right) {
    if (out.merges.size() >= kMaxTokenIds) throw bad_input(name_, "fewer merges");
    out.merges.emplace_back(std::move(left), std::move(right));
  }
  [[noreturn]] void refuse_vocabulary(const char* found) const {
    throw bad_input(name_ + ", the vocabulary", "an object from token to id", found);
  }

  const std::string& name_;
  Section section_ = Section::kOther;
  const bool whole_;  // tokenizer.json; else vocab.json
  std::vector<std::string> path_;
  std::vector<bool> arrays_;
  std::vector<std::string> pair_;
};

TokenizerFile read_events(std::string_view text, const std::string& name, bool whole) {
  Events events(name, whole);
  try {
    json::sax_parse(text, &events);
  } catch (const json::exception& problem) {
    throw bad_input(name, "JSON", problem.what());
  }
  if (events.out.vocabulary.size() == 0) throw bad_input(name, "a vocabulary", "none");
  return std::move(events.out);
}

json parse_object(std::string_view text, const std::string& name) {
  if (text.empty()) return json::object();
  // A tree is recursive when it is destroyed only by its own list, but deep input is no tokenizer.
  json tree = json::parse(text, nullptr, false);
  if (!tree.is_object()) throw bad_input(name, "a JSON object");
  return tree;
}

bool flag(const json& object, const char* key, bool otherwise) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

std::string content_of(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string()) {
    return value["content"].get<std::string>();
  }
  return "";
}

// A token as an object says everything; as a string it is special and not normalised.
AddedToken token_of(const json& value) {
  AddedToken token{content_of(value), -1, true, false, false};
  if (value.is_object()) {
    token.normalized = flag(value, "normalized", false);
    token.single_word = flag(value, "single_word", false);
  }
  return token;
}

const AddedToken* find_token(const std::vector<AddedToken>& list, const std::string& content) {
  for (auto it = list.rbegin(); it != list.rend(); ++it) {
    if (it->content == content) return &*it;
  }
  return nullptr;
}

}  // namespace

size_t Vocabulary::slot_of(std::string_view token) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = std::hash<std::string_view>{}(token)&mask;
  while (slots_[slot] >= 0 && tokens_[static_cast<size_t>(slots_[slot])] != token) {
    slot = (slot + 1) & mask;
  }
  return slot;
}

void Vocabulary::grow() {
  slots_.assign(std::max<size_t>(1024, slots_.size() * 4), -1);
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (used_[id]) slots_[slot_of(tokens_[id])] = static_cast<int32_t>(id);
  }
}

void Vocabulary::add(std::string token, int64_t id, const std::string& file) {
  if (id < 0 || id >= kMaxTokenIds) {
    throw bad_input(file + ", id of '" + token + "'", "0.." + std::to_string(kMaxTokenIds - 1),
                    std::to_string(id));
  }
  const auto index = static_cast<size_t>(id);
  if (has(static_cast<int32_t>(id)) && tokens_[index] != token) {
    throw bad_input(file + ", id of '" + token + "'", "an id of its own",
                    std::to_string(id) + ", which is also that of '" + tokens_[index] + "'");
  }
  if (2 * (count_ + 1) > slots_.size()) grow();
  const size_t slot = slot_of(token);
  if (slots_[slot] >= 0) {
    const auto old = static_cast<size_t>(slots_[slot]);
    if (old == index) return;
    tokens_[old].clear();
    used_[old] = false;
  } else {
    ++count_;
  }
  if (index >= tokens_.size()) {
    tokens_.resize(index + 1);
    used_.resize(index + 1, false);
  }
  tokens_[index] = std::move(token);
  used_[index] = true;
  slots_[slot] = static_cast<int32_t>(id);
}

int32_t Vocabulary::find(std::string_view token) const {
  return slots_.empty() ? -1 : slots_[slot_of(token)];
}

bool Vocabulary::has(int32_t id) const { return id >= 0 && id < size() && used_[id]; }

const std::string& Vocabulary::token(int32_t id) const {
  if (!has(id)) {
    throw bad_input("token id", "one of the vocabulary's " + std::to_string(size()),
                    std::to_string(id));
  }
  return tokens_[static_cast<size_t>(id)];
}

TokenizerFile read_tokenizer_json(std::string_view text, const std::string& name) {
  return read_events(text, name, true);
}

Vocabulary read_vocab_json(std::string_view text, const std::string& name) {
  return read_events(text, name, false).vocabulary;
}

Merges read_merges(std::string_view text, const std::string& name, size_t most) {
  Merges merges;
  for (size_t line = 1; !text.empty() && merges.size() < most; ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view row = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!row.empty() && row.back() == '\r') row.remove_suffix(1);
    if (row.empty() || row.starts_with("#version")) continue;
    const size_t space = row.find(' ');
    if (space == std::string_view::npos || row.find(' ', space + 1) != std::string_view::npos) {
      throw bad_input(name + ", line " + std::to_string(line), "two pieces and one space",
                      std::string(row.substr(0, 80)));
    }
    merges.emplace_back(row.substr(0, space), row.substr(space + 1));
  }
  return merges;
}

SpecialTokens read_special_tokens(std::string_view config_json, std::string_view map_json,
                                  const SpecialTokens& defaults,
                                  const std::vector<AddedToken>& known, const std::string& name) {
  const json config = parse_object(config_json, name + "/tokenizer_config.json");
  json map = parse_object(map_json, name + "/special_tokens_map.json");
  SpecialTokens out = defaults;
  out.lower_case = flag(config, "do_lower_case", true);
  out.tokenize_chinese_chars = flag(config, "tokenize_chinese_chars", true);
  const auto strip = config.find("strip_accents");
  if (strip != config.end() && strip->is_boolean()) out.strip_accents = strip->get<bool>();

  std::vector<AddedToken> listed;
  const auto decoder = config.find("added_tokens_decoder");
  if (decoder != config.end() && decoder->is_object()) {
    map = json::object();  // the list makes the older file void
    for (const auto& [id, value] : decoder->items()) {
      AddedToken token = token_of(value);
      token.special = flag(value, "special", false);
      if (id.empty() || id.size() > 7 || id.find_first_not_of("0123456789") != std::string::npos) {
        throw bad_input(name + "/tokenizer_config.json, key 'added_tokens_decoder'", "ids", id);
      }
      token.id = std::stoi(id);
      if (token.id >= kMaxTokenIds) throw bad_input(name, "a smaller added id", id);
      listed.push_back(std::move(token));
    }
    std::sort(listed.begin(), listed.end(),
              [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  } else {
    listed = known;
  }
  out.added = listed;

  const std::pair<const char*, std::string*> named[] = {
      {"bos_token", &out.bos},  {"eos_token", &out.eos}, {"unk_token", &out.unk},
      {"sep_token", &out.sep},  {"pad_token", &out.pad}, {"cls_token", &out.cls},
      {"mask_token", &out.mask}};
  for (const auto& [key, slot] : named) {
    const json value = map.contains(key) ? map[key] : config.contains(key) ? config[key] : json();
    AddedToken token = token_of(value);
    if (!token.content.empty()) *slot = token.content;
    if (slot->empty() || find_token(listed, *slot)) continue;
    token.content = *slot;
    out.added.push_back(std::move(token));
  }
  return out;
}

}  // namespace pangu::text
