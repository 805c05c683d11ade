// Reading tokenizer.json, XLM-R's normalisation and the Viterbi search. Not the UTF-8 decoding
// (text/utf8.h). Score of an unknown character: lowest score - 10, as SentencePiece has it.
#include "text/unigram.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "text/utf8.h"

namespace pangu::text {
namespace {

using nlohmann::json;

constexpr char32_t kMetaspace = 0x2581;
constexpr double kUnknownPenalty = 10.0;  // SentencePiece, kUnkPenalty
constexpr size_t kMaxFileBytes = size_t{256} << 20;
// As tools/export_e5.py writes them; classify() below is what they mean.
constexpr const char* kRemovedPattern = R"([\x{00}-\x{08}\x{0B}\x{0E}-\x{1F}\x{7F}\x{8F}\x{9F}])";
constexpr const char* kSpacesPattern =
    R"([\x{09}\x{0A}\x{0C}\x{0D}\x{1680}\x{200B}-\x{200F}\x{2028}\x{2029}\x{2581}\x{FEFF}\x{FFFD}])";

enum class Kind { kKept, kRemoved, kSpace };

Kind classify(char32_t c) {
  if (c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D) return Kind::kSpace;
  if (c < 0x20 || c == 0x7F || c == 0x8F || c == 0x9F) return Kind::kRemoved;
  if (c == 0x1680 || (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029) {
    return Kind::kSpace;
  }
  if (c == kMetaspace || c == 0xFEFF || c == kReplacement) return Kind::kSpace;
  return Kind::kKept;
}

// NFKC leaves no other white space than these two.
bool is_space(char32_t c) { return c == 0x20 || c == 0x85; }

// The last character may be cut in two; decoding then makes the rest a space.
std::u32string normalised(std::string_view utf8) {
  const std::u32string source = decode_utf8(utf8.substr(0, kMaxUnigramBytes));
  std::u32string cleaned;
  cleaned.reserve(source.size());
  for (const char32_t c : source) {
    const Kind kind = classify(c);
    if (kind != Kind::kRemoved) cleaned.push_back(kind == Kind::kSpace ? U' ' : c);
  }
  return to_nfkc(cleaned);
}

template <typename Visit>
void for_each_word(const std::u32string& text, Visit visit) {
  for (size_t at = 0; at < text.size();) {
    if (is_space(text[at])) {
      ++at;
      continue;
    }
    size_t end = at;
    while (end < text.size() && !is_space(text[end])) ++end;
    if (!visit(std::u32string_view(text).substr(at, end - at))) return;
    at = end;
  }
}

bool is_replace(const json& node, const char* pattern, const char* content) {
  return node.value("type", "") == "Replace" && node.value("content", "?") == content &&
         node.contains("pattern") && node["pattern"].value("Regex", "") == pattern;
}

void check_normaliser(const json& node, const std::string& name) {
  if (node.is_object() && node.value("type", "") == "Precompiled") return;  // XLM-R's own file
  if (node.is_object() && node.value("type", "") == "Sequence" && node.contains("normalizers")) {
    const json& list = node["normalizers"];
    if (list.is_array() && list.size() == 3 && is_replace(list[0], kRemovedPattern, "") &&
        is_replace(list[1], kSpacesPattern, " ") && list[2].value("type", "") == "NFKC") {
      return;
    }
  }
  throw bad_input(name + ", key 'normalizer'", "XLM-R's (as tools/export_e5.py writes it)",
                  node.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 200));
}

void check_pre_tokenizer(const json& node, const std::string& name) {
  if (node.is_object() && node.value("type", "") == "Sequence" && node.contains("pretokenizers")) {
    const json& list = node["pretokenizers"];
    if (list.is_array() && list.size() == 2 && list[0].value("type", "") == "WhitespaceSplit" &&
        list[1].value("type", "") == "Metaspace") {
      return;
    }
  }
  throw bad_input(name + ", key 'pre_tokenizer'", "WhitespaceSplit, then Metaspace",
                  node.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 200));
}

}  // namespace

UnigramTokenizer UnigramTokenizer::from_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary | std::ios::ate);
  if (!stream) throw io_error("cannot open tokenizer", path, errno);
  const auto size = static_cast<std::streamoff>(stream.tellg());
  if (size < 0 || static_cast<size_t>(size) > kMaxFileBytes) {
    throw bad_input("tokenizer '" + path + "'", "at most 256 MiB", std::to_string(size) + " bytes");
  }
  std::string bytes(static_cast<size_t>(size), '\0');
  stream.seekg(0);
  if (!stream.read(bytes.data(), size)) throw io_error("cannot read tokenizer", path, errno);
  return from_json(bytes, path);
}

UnigramTokenizer UnigramTokenizer::from_json(std::string_view text, const std::string& name) {
  UnigramTokenizer out;
  std::vector<double> scores;
  try {
    const json root = json::parse(text);
    check_normaliser(root.at("normalizer"), name);
    check_pre_tokenizer(root.at("pre_tokenizer"), name);
    const json& model = root.at("model");
    if (model.at("type").get<std::string>() != "Unigram") {
      throw bad_input(name + ", key 'model.type'", "Unigram", model.at("type").dump());
    }
    for (const json& row : model.at("vocab")) {
      out.pieces_.push_back(row.at(0).get<std::string>());
      scores.push_back(row.at(1).get<double>());
    }
    const auto unknown = model.at("unk_id").get<int64_t>();
    if (unknown < 0 || unknown >= static_cast<int64_t>(out.pieces_.size())) {
      throw bad_input(name + ", key 'model.unk_id'", "an index into 'vocab'",
                      std::to_string(unknown));
    }
    out.unknown_ = static_cast<int32_t>(unknown);
  } catch (const json::exception& problem) {
    throw bad_input(name, "a Hugging Face tokenizer.json of type Unigram", problem.what());
  }
  const auto id_of = [&](const char* piece) {
    const auto found = std::find(out.pieces_.begin(), out.pieces_.end(), piece);
    if (found == out.pieces_.end()) {
      throw bad_input(name + ", key 'model.vocab'", std::string("the special piece ") + piece);
    }
    return static_cast<int32_t>(found - out.pieces_.begin());
  };
  out.bos_ = id_of("<s>");
  out.eos_ = id_of("</s>");
  out.pad_ = id_of("<pad>");
  out.lookup_.reserve(out.pieces_.size());
  double lowest = std::numeric_limits<double>::infinity();
  for (int32_t id = 0; id < out.vocabulary_size(); ++id) {
    lowest = std::min(lowest, scores[id]);
    if (id == out.bos_ || id == out.eos_ || id == out.pad_ || id == out.unknown_) continue;
    out.lookup_.emplace(out.pieces_[id], Scored{id, scores[id]});
    out.longest_bytes_ = std::max(out.longest_bytes_, out.pieces_[id].size());
  }
  out.unknown_score_ = lowest - kUnknownPenalty;
  return out;
}

void UnigramTokenizer::append_word(std::u32string_view word, std::vector<int32_t>& ids) const {
  const std::string bytes = encode_utf8(std::u32string(1, kMetaspace).append(word));
  struct Node {
    double score = -std::numeric_limits<double>::infinity();
    int32_t id = -1;
    size_t from = 0;
  };
  std::vector<Node> best(bytes.size() + 1);
  best[0].score = 0;
  const auto offer = [&](size_t from, size_t to, double score, int32_t id) {
    // Strictly better only: of equals the longest piece wins, as it begins first.
    if (best[from].score + score > best[to].score) best[to] = {best[from].score + score, id, from};
  };
  const auto is_boundary = [&](size_t at) {
    return at == bytes.size() || (static_cast<unsigned char>(bytes[at]) & 0xC0) != 0x80;
  };
  for (size_t from = 0; from < bytes.size(); ++from) {
    if (!is_boundary(from)) continue;
    bool first = true;
    const size_t last = std::min(bytes.size(), from + std::max<size_t>(longest_bytes_, 4));
    for (size_t to = from + 1; to <= last; ++to) {
      if (!is_boundary(to)) continue;
      const auto found = lookup_.find(std::string_view(bytes).substr(from, to - from));
      if (found != lookup_.end()) {
        offer(from, to, found->second.score, found->second.id);
      } else if (first) {
        offer(from, to, unknown_score_, unknown_);
      }
      first = false;
    }
  }
  const size_t begin = ids.size();
  for (size_t at = bytes.size(); at > 0; at = best[at].from) {
    const bool fuse = best[at].id == unknown_ && ids.size() > begin && ids.back() == unknown_;
    if (!fuse) ids.push_back(best[at].id);
  }
  std::reverse(ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.end());
}

std::vector<int32_t> UnigramTokenizer::encode(std::string_view utf8, size_t max_tokens) const {
  if (max_tokens < 2) {
    throw Error(ErrorCode::kInternal, "encode: max_tokens must leave room for <s> and </s>");
  }
  std::vector<int32_t> ids = {bos_};
  for_each_word(normalised(utf8), [&](std::u32string_view word) {
    append_word(word, ids);
    return ids.size() < max_tokens;
  });
  if (ids.size() > max_tokens - 1) ids.resize(max_tokens - 1);
  ids.push_back(eos_);
  return ids;
}

std::string UnigramTokenizer::normalise(std::string_view utf8) {
  std::u32string joined;
  for_each_word(normalised(utf8), [&](std::u32string_view word) {
    if (!joined.empty()) joined.push_back(U' ');
    joined.append(word);
    return true;
  });
  return encode_utf8(joined);
}

const std::string& UnigramTokenizer::piece(int32_t id) const {
  if (id < 0 || id >= vocabulary_size()) {
    throw bad_input("token id", "0.." + std::to_string(vocabulary_size() - 1), std::to_string(id));
  }
  return pieces_[static_cast<size_t>(id)];
}

}  // namespace pangu::text
