#include "eval/coco_presets.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_reader.h"
#include "core/rng_numpy.h"
#include "eval/inception_score.h"
#include "eval/picture_set.h"
#include "io/mapped_file.h"

namespace pangu::eval {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kCocoPrompts = 30'000, kCocoPictures = 40'504, kCocoCnPictures = 1000;
constexpr int kCocoSizePx = 256;
constexpr size_t kMostAnnotationBytes = size_t{256} << 20;

constexpr const char* kFetchCoco =
    "fetch val2014.zip and annotations_trainval2014.zip from cocodataset.org "
    "and unpack both there";
constexpr const char* kFetchCocoCn =
    "fetch COCO-CN (version 201805, github.com/li-xirong/coco-cn) and put the "
    "COCO pictures of its test "
    "split into pictures/";

std::string needed_text(const fs::path& path, const std::string& benchmark, const char* hint) {
  if (!fs::is_regular_file(path)) {
    throw bad_input(benchmark + " in --data", "'" + path.string() + "'", "no such file", hint);
  }
  return io::read_text_file(path.string(), kMostAnnotationBytes);
}

std::string needed_pictures(const fs::path& folder, int64_t count, const std::string& benchmark,
                            const char* hint) {
  if (!fs::is_directory(folder)) {
    throw bad_input(benchmark + " in --data", "'" + folder.string() + "'", "no such folder", hint);
  }
  const int64_t found = picture_set(folder.string()).size();
  if (found != count) {
    throw bad_input("'" + folder.string() + "'", std::to_string(count) + " pictures",
                    std::to_string(found), hint);
  }
  return folder.string();
}

Benchmark coco_2014(const fs::path& folder) {
  const fs::path captions = folder / "annotations" / "captions_val2014.json";
  const std::string text = needed_text(captions, "coco-2014", kFetchCoco);
  Benchmark found{coco_captions(text, kCocoPrompts, "'" + captions.string() + "'"),
                  needed_pictures(folder / "val2014", kCocoPictures, "coco-2014", kFetchCoco),
                  kCocoSizePx,
                  {"Published on COCO, zero-shot", "", {"model", "FID"}, {}}};
  found.published.rows = {{"DALL-E", "27.50"},    {"LDM", "12.63"},      {"GLIDE", "12.24"},
                          {"SDXL", "11.93"},      {"PixArt-a", "10.65"}, {"DALL-E 2", "10.39"},
                          {"PanGu-Draw", "7.99"}, {"Imagen", "7.27"},    {"RAPHAEL", "6.61"}};
  return found;
}

Benchmark coco_cn(const fs::path& folder) {
  const fs::path captions = folder / "imageid.human-written-caption.txt";
  const std::string text = needed_text(captions, "coco-cn", kFetchCocoCn);
  const std::string split = needed_text(folder / "coco-cn_test.txt", "coco-cn", kFetchCocoCn);
  Benchmark found{
      coco_cn_captions(text, split, "'" + captions.string() + "'"),
      needed_pictures(folder / "pictures", kCocoCnPictures, "coco-cn", kFetchCocoCn),
      kCocoSizePx,
      {"Published on COCO-CN", "", {"model", "FID", "Inception Score", "CN-CLIP score"}, {}}};
  found.published.rows = {{"AltDiffusion", "25.31", "29.16", "35.12"},
                          {"Taiyi-Bilingual", "24.61", "34.29", "32.26"},
                          {"Taiyi-CN", "23.99", "34.29", "34.22"},
                          {"PanGu-Draw", "21.81", "37.00", "36.62"}};
  return found;
}

// Calls take(line) for every line that is not empty, without white space at its end.
template <class Take>
void for_lines_of(std::string_view text, const Take& take) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
    if (!line.empty()) take(line);
  }
}

}  // namespace

std::vector<NamedPrompt> coco_captions(std::string_view json, int64_t count,
                                       const std::string& name) {
  const nlohmann::json file = parse_json(json, name, {.max_bytes = kMostAnnotationBytes});
  const auto list = file.is_object() ? file.find("annotations") : file.end();
  if (!file.is_object() || list == file.end() || !list->is_array()) {
    throw bad_input(name, "COCO's annotations", "another file");
  }
  std::map<int64_t, std::string> by_id;
  for (const nlohmann::json& one : *list) {
    if (!one.is_object() || !one.contains("id") || !one.at("id").is_number_integer() ||
        !one.contains("caption") || !one.at("caption").is_string()) {
      throw bad_input(name, "annotations with id and caption", short_text(one));
    }
    by_id[one.at("id").get<int64_t>()] = one.at("caption").get<std::string>();
  }
  if (static_cast<int64_t>(by_id.size()) < count) {
    throw bad_input(name, std::to_string(count) + " captions", std::to_string(by_id.size()));
  }
  const std::vector<std::pair<int64_t, std::string>> sorted(by_id.begin(), by_id.end());
  const std::vector<int64_t> order = NumpyRandom(kScoreSeed).permutation(sorted.size());
  std::vector<NamedPrompt> prompts;
  for (int64_t i = 0; i < count; ++i) {
    const auto& [id, caption] = sorted[static_cast<size_t>(order[static_cast<size_t>(i)])];
    char digits[32];
    std::snprintf(digits, sizeof digits, "%012lld", static_cast<long long>(id));
    // Some captions of COCO end with white space.
    prompts.push_back({digits, caption.substr(0, caption.find_last_not_of(" \t\r\n") + 1), {}});
  }
  return prompts;
}

std::vector<NamedPrompt> coco_cn_captions(std::string_view captions, std::string_view split,
                                          const std::string& name) {
  std::map<std::string, std::string, std::less<>> first;
  for_lines_of(captions, [&](std::string_view line) {
    const size_t gap = line.find_first_of(" \t");
    if (gap == std::string_view::npos) return;
    const size_t begin = line.find_first_not_of(" \t", gap);
    first.emplace(line.substr(0, std::min(line.find('#'), gap)), line.substr(begin));
  });
  std::vector<NamedPrompt> prompts;
  for_lines_of(split, [&](std::string_view picture) {
    const auto caption = first.find(picture);
    if (caption == first.end()) {
      throw bad_input(name, "a caption of '" + std::string(picture) + "'", "none");
    }
    prompts.push_back({std::string(picture), caption->second, {}});
  });
  return prompts;
}

Benchmark open_benchmark(const std::string& name, const std::string& folder) {
  if (name != "coco-2014" && name != "coco-cn") {
    throw bad_input("--preset", "coco-2014 or coco-cn", "'" + name + "'");
  }
  if (folder.empty()) {
    throw bad_input("--data", "the folder with the files of " + name, "nothing",
                    name == "coco-cn" ? kFetchCocoCn : kFetchCoco);
  }
  return name == "coco-cn" ? coco_cn(folder) : coco_2014(folder);
}

}  // namespace pangu::eval
