// One picture of a dataset and its captions, and the JSON line that describes it:
//   {"file":"images/3d/1f34e.webp","concept":"red apple","concept_id":"1f34e","group":"food-drink",
//    "style":"3d","part":"high","split":"train","licence":"MIT","source":"...","width":256,
//    "height":256,"names":{"en":"red apple","zh":"红苹果"},"phrase_en":"a red
//    apple","measure_zh":"个", "colour":{"en":"red","zh":"红色"},"captions":{"en":["a red
//    apple"],"zh":["红苹果"]}}
// Only `file` and `captions` are needed. Other keys are ignored, so that a manifest may carry more.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pangu::data {

// Where a picture's bytes lie: a file, or `size_bytes` of it from `offset` (inside a tar).
struct Source {
  std::string path;
  uint64_t offset = 0;
  uint64_t size_bytes = 0;  // 0: the whole file
};

struct Item {
  std::string id;  // the file's name inside the dataset, without its ending
  Source bytes;
  int width = 0, height = 0;  // 0: not known
  bool has_alpha = false;     // a cut-out
  std::vector<std::string> captions_en, captions_zh;

  // What a curated dataset knows; empty otherwise.
  std::string concept_name, concept_id, group, style, licence, source;
  std::string part;             // "high" or "low"; set by size if the manifest is silent
  std::string split = "train";  // "train", "heldout_pair", "heldout_concept", ...
  std::string name_en, name_zh, phrase_en, measure_zh, colour_en, colour_zh;
};

// The captions of one language, or of both (English first) for any other text.
std::vector<std::string> captions_of(const Item& item, std::string_view language);

// Reads a manifest line, or the JSON beside a picture in a shard (then `file` may be absent, and
// "caption": text or "captions": [text, ...] will do). item.bytes.path is `file` as it stands,
// always relative and without "..". Error kBadInput for everything else; lines over 1 MiB are
// refused.
Item parse_manifest_line(std::string_view line, bool needs_file = true);

// The line for an item, with `file` as given; parse_manifest_line reads it back.
std::string manifest_line(const Item& item, const std::string& file);

// Captions of a .txt file: one a line, blank lines left out, sorted into languages by has_han.
// Error kBadInput if it is not UTF-8 or has no caption.
void parse_caption_text(std::string_view text, Item& item_);

}  // namespace pangu::data
