// Compares token ids with transformers 5 (CLIPTokenizer, BertTokenizer), open_clip's
// SimpleTokenizer with ftfy, and implementations in Python of PanGu-Draw's Chinese tokenizer and of
// A1111's prompt syntax. Ids must be equal. The reference is made when the test runs, by
// tools/parity/dump_tokenizers.py, with the vocabularies of models/tokenizers; open_clip's code is
// fetched from the package index, and without it that part says so loudly and passes.
//   PANGU_PYTHON             the interpreter (else the one CMake found)
//   PANGU_TOKENIZER_PARITY   a folder dumped before (else a temporary one)
#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "case.h"
#include "text/clean.h"
#include "text/clip_bpe.h"
#include "text/prompt.h"
#include "text/utf8.h"
#include "text/word_piece.h"

namespace pangu::text {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json read_json(const fs::path& path) {
  std::ifstream file(path);
  REQUIRE_MESSAGE(file.good(), path.string(), " is missing");
  return json::parse(file);
}

// The folder of OpenAI's file of merges, which is part of the repository.
std::string own_vocabulary() { return std::string(kSourceDir) + "/models/tokenizers/clip"; }

// Counts the texts that differ, and names the first of them; ids are equal or wrong.
class Case {
 public:
  explicit Case(std::string name) : name_(std::move(name)) {}
  ~Case() {
    CHECK(count_ > 0);
    INFO("first that differs: " << first_);
    parity::report(name_ + " (" + std::to_string(count_) + " texts)", double(wrong_), 0);
  }
  void row(const std::string& text, bool equal) {
    ++count_;
    if (equal) return;
    ++wrong_;
    if (first_.empty()) first_ = json(text.substr(0, 200)).dump(-1, ' ', true);
  }

 private:
  std::string name_, first_;
  size_t count_ = 0, wrong_ = 0;
};

void compare(const std::string& name, const json& rows, const char* key,
             const std::function<json(const std::string&)>& ours) {
  if (!rows.contains(key)) return;
  Case result("tokenizer " + name + ", " + key);
  for (size_t i = 0; i < rows["texts"].size(); ++i) {
    const auto text = rows["texts"][i].get<std::string>();
    result.row(text, ours(text) == rows[key][i]);
  }
}

template <typename Tokenizer>
void compare_tokenizer(const std::string& name, const fs::path& folder, const Tokenizer& tokenizer,
                       const std::string& what = "") {
  const json rows = read_json(folder / (name + ".json"));
  const std::string shown = what + name;
  compare(shown, rows, "ids", [&](const std::string& text) { return tokenizer.tokenize(text); });
  compare(shown, rows, "cut", [&](const std::string& text) { return tokenizer.encode(text, 77); });
  compare(shown, rows, "decoded",
          [&](const std::string& text) { return tokenizer.decode(tokenizer.tokenize(text)); });
}

void compare_clip(const fs::path& folder) {
  for (const char* name :
       {"clip", "clip_sd1", "clip_pad", "clip_sdxl_2", "clip_json", "clip_sdxl_2_json"}) {
    compare_tokenizer(name, folder, ClipTokenizer::from_path((folder / name).string()));
  }
  auto tokenizer = ClipTokenizer::from_path((folder / "clip").string());
  const json rows = read_json(folder / "clip_added.json");
  int32_t id = tokenizer.vocabulary_size();
  for (const auto& word : rows["words"]) tokenizer.add_token(word.get<std::string>(), {id++});
  compare("clip_added", rows, "ids",
          [&](const std::string& text) { return tokenizer.tokenize(text); });
  compare_tokenizer("clip", folder, ClipTokenizer::from_path(own_vocabulary()), "OpenAI's file, ");
}

void compare_open_clip(const fs::path& folder) {
  const auto tokenizer = ClipTokenizer::from_path(own_vocabulary(), ClipCleaning::kOpenClip);
  for (const char* name : {"open_clip", "open_clip_whole_ftfy"}) {
    compare_tokenizer(name, folder, tokenizer);
    const json rows = read_json(folder / (std::string(name) + ".json"));
    compare(name, rows, "fixed",
            [](const std::string& text) { return encode_utf8(fix_text(decode_utf8(text))); });
    compare(name, rows, "cleaned", [](const std::string& text) {
      return encode_utf8(clean_open_clip(decode_utf8(text)));
    });
  }
}

void compare_bert(const fs::path& folder) {
  for (const char* name : {"bert", "bert_json", "bert_cased"}) {
    compare_tokenizer(name, folder, WordPieceTokenizer::from_path((folder / name).string()));
  }
  compare_tokenizer(
      "pangu_zh", folder,
      WordPieceTokenizer::from_path((folder / "bert" / "vocab.txt").string(), BertRules::kPanGu));
}

// Checks ids that the released PanGu-Draw 3 gave when it was run: style prefixes, the comma, typed
// special tokens.
void check_pangu(const fs::path& folder) {
  using Ids = std::vector<int32_t>;
  const auto zh =
      WordPieceTokenizer::from_path((folder / "bert" / "vocab.txt").string(), BertRules::kPanGu);
  const auto bpe = ClipTokenizer::from_path(own_vocabulary(), ClipCleaning::kOpenClip);
  CHECK(zh.vocabulary_size() == 21128);
  CHECK(zh.tokenize("義 饅 霙 ") == Ids{5412, 7635, 100});
  CHECK((zh.pad() == 0 && zh.cls() == 101 && zh.sep() == 102));
  CHECK(bpe.tokenize("義 ") == Ids{163, 122, 358});
  CHECK(bpe.tokenize("饅 ") == Ids{165, 98, 483});
  CHECK(bpe.tokenize("霙 ") == Ids{165, 250, 503});
  CHECK(bpe.tokenize("，") == Ids{267});
  CHECK(bpe.encode("<end_of_text>", 4) == Ids{49406, 49407, 49407, 0});
}

void compare_prompts(const fs::path& folder) {
  const auto tokenizer = ClipTokenizer::from_path((folder / "clip").string());
  const auto tokenize = [&](std::string_view text) { return tokenizer.tokenize(text); };
  Case weights("prompt weights"), chunks("prompt chunks");
  for (const json& row : read_json(folder / "prompts.json")) {
    const auto prompt = row["prompt"].get<std::string>();
    const auto parts = parse_emphasis(prompt);
    json runs = json::array();
    for (const WeightedText& part : parts) {
      runs.push_back({part.is_break ? json() : json(part.text), part.weight});
    }
    json wanted = row["runs"];
    for (json& run : wanted) {
      if (run[0].is_null()) run[1] = 0.0;
    }
    weights.row(prompt, runs == wanted);
    ChunkOptions options;
    options.pad = row["pad"];
    const auto ours = chunk_prompt(parts, tokenize, options);
    bool equal = ours.size() == row["chunks"].size();
    for (size_t i = 0; equal && i < ours.size(); ++i) {
      const json& chunk = row["chunks"][i];
      equal = chunk[0] == json(ours[i].ids) && chunk[1].size() == ours[i].weights.size();
      for (size_t j = 0; equal && j < ours[i].weights.size(); ++j) {
        equal = chunk[1][j].get<float>() == ours[i].weights[j];
      }
    }
    chunks.row(prompt, equal);
  }
}

// Prints the speed; it has no bound, since machines differ.
void measure(const fs::path& folder) {
  const auto ms_since = [](std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
        .count();
  };
  const std::string prompt =
      "a (masterpiece:1.2) photo of an astronaut riding a horse on the moon, 8k, 高清，细节丰富";
  const std::pair<std::string, ClipCleaning> kinds[] = {
      {(folder / "clip").string(), ClipCleaning::kTransformers},
      {(folder / "clip_json").string(), ClipCleaning::kTransformers},
      {own_vocabulary(), ClipCleaning::kOpenClip}};
  for (const auto& [path, cleaning] : kinds) {
    const auto begin = std::chrono::steady_clock::now();
    const auto tokenizer = ClipTokenizer::from_path(path, cleaning);
    const double load_ms = ms_since(begin);
    const auto middle = std::chrono::steady_clock::now();
    for (int i = 0; i < 200; ++i) tokenizer.tokenize(prompt);
    std::printf("speed   %-48s load %.1f ms, one prompt %.4f ms\n", path.c_str(), load_ms,
                ms_since(middle) / 200);
  }
}

TEST_CASE("tokenizers give the ids of transformers and open_clip, prompts the chunks of A1111") {
  const char* given = std::getenv("PANGU_TOKENIZER_PARITY");
  const fs::path folder =
      given ? fs::path(given) : fs::temp_directory_path() / "pangu_tokenizer_parity";
  if (!given) {
    if (!parity::python_has("transformers, ftfy")) {
      std::printf("SKIPPED: tokenizer parity, because %s cannot import transformers and ftfy\n",
                  parity::python().c_str());
      MESSAGE("SKIPPED: tokenizer parity needs a Python with transformers and ftfy");
      return;
    }
    fs::remove_all(folder);
    const bool dumped = parity::run_tool("dump_tokenizers.py", folder.string());
    REQUIRE_MESSAGE((dumped || fs::exists(folder / "unavailable.txt")),
                    "tools/parity/dump_tokenizers.py failed; run it to see why");
  }
  compare_clip(folder);
  if (fs::exists(folder / "unavailable.txt")) {
    std::printf("SKIPPED: open_clip's tokenizer, because the package index does not answer\n");
    MESSAGE("SKIPPED: open_clip's tokenizer needs open-clip-torch of the package index");
  } else {
    compare_open_clip(folder);
  }
  compare_bert(folder);
  check_pangu(folder);
  compare_prompts(folder);
  measure(folder);
  if (!given) fs::remove_all(folder);
}

}  // namespace
}  // namespace pangu::text
