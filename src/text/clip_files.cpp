#include "text/clip_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "text/byte_pairs.h"
#include "text/read_file.h"
#include "text/utf8.h"

namespace pangu::text {
namespace {

constexpr size_t kOpenAiMerges = 48'894;  // 49,408 ids less 512 bytes and two specials
constexpr size_t kMostBytes = size_t{4} << 20;

}  // namespace

TokenizerFile read_openai_merges(std::string_view text, const std::string& name) {
  TokenizerFile file;
  text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  file.merges = read_merges(text, name, kOpenAiMerges);
  // GPT-2's order: the bytes that are printable, then the others.
  std::vector<std::string> printable, other;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string& symbol = printable_of(static_cast<uint8_t>(byte));
    (decode_utf8(symbol)[0] < 0x100 ? printable : other).push_back(symbol);
  }
  printable.insert(printable.end(), other.begin(), other.end());
  int32_t next = 0;
  for (const std::string& symbol : printable) file.vocabulary.add(symbol, next++, name);
  for (const std::string& symbol : printable) file.vocabulary.add(symbol + "</w>", next++, name);
  for (const auto& [left, right] : file.merges) {
    file.vocabulary.add(left + right, next++, name);
  }
  for (const char* special : {"<|startoftext|>", "<|endoftext|>"}) {
    file.vocabulary.add(special, next++, name);
  }
  return file;
}

ClipFiles clip_files_of(const std::string& openai_path) {
  const TokenizerFile file = read_openai_merges(
      gunzip_lines(read_file(openai_path, "tokenizer"), kOpenAiMerges + 1, kMostBytes, openai_path),
      openai_path);
  nlohmann::ordered_json vocabulary = nlohmann::ordered_json::object();
  auto& entries = vocabulary.get_ref<nlohmann::ordered_json::object_t&>();
  for (int32_t id = 0; id < file.vocabulary.size(); ++id) {
    if (file.vocabulary.has(id)) entries.push_back({file.vocabulary.token(id), id});
  }
  ClipFiles files{vocabulary.dump(), "#version: 0.2\n"};
  for (const auto& [left, right] : file.merges) files.merges_txt += left + " " + right + "\n";
  return files;
}

}  // namespace pangu::text
