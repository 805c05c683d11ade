// One picture of a dataset and its captions, and the JSON line that describes it:
//   {"file":"images/3d/1f34e.webp","concept":"red apple","concept_id":"1f34e","group":"food-drink",
//    "style":"3d","part":"high","split":"train","licence":"MIT","source":"...","width":256,
//    "height":256,"names":{"en":"red apple","zh":"红苹果"},"phrase_en":"a red
//    apple","measure_zh":"个", "colour":{"en":"red","zh":"红色"},"repeats":10,"captions":{"en":["a
//    red apple"],"zh":["红苹果"]}}
// Only `file` and `captions` are needed. Other keys are ignored, so that a manifest may carry more.
// Captions of other programs and files are read by data/captions.h.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
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
  int repeats = 1;            // how often an epoch of training shows it
  int stored_px = 0;          // its shorter side is shrunk to this when it is read; 0: it is not
  std::vector<std::string> captions_en, captions_zh;

  // What a curated dataset knows; empty otherwise.
  std::string concept_name, concept_id, group, style, licence, source;
  std::string part;             // "high" or "low"; set by size if the manifest is silent
  std::string split = "train";  // "train", "heldout_pair", "heldout_concept", ...
  std::string name_en, name_zh, phrase_en, measure_zh, colour_en, colour_zh;
};

// The captions of one language, or of both (English first) for any other text.
std::vector<std::string> captions_of(const Item& item, std::string_view language);

// Shorter side from which a picture of unknown part belongs to the high-resolution part.
inline constexpr int kHighPartPx = 256;
inline constexpr int kMaxRepeats = 999;

// Reads a manifest line. item.bytes.path is `file` as it stands, always relative and without "..".
// Error kBadInput for everything else; lines over 1 MiB are refused.
Item parse_manifest_line(std::string_view line);

// The fields that `object` says, except `file`, `width` and `height`. A field that does not fit is
// named in `dropped_` and costs nothing else; where `dropped_` is null it is an error kBadInput.
// Captions are those of `captions` alone: {"en": [...], "zh": [...]}, a list or a text.
void read_fields(const nlohmann::json& object, Item& item_, std::vector<std::string>* dropped_);

// A description may come from anywhere: it must not point out of its folder. Error kBadInput, which
// calls the file `what`, if the path is empty, absolute or holds "..".
void check_inside(const std::string& what, const std::string& file);

// A caption by its language, which is Chinese if it holds a Han character. An empty one is none.
// Error kBadInput for too many or too long ones.
void add_caption(const std::string& caption, Item& item_);
bool has_caption(const Item& item);

// The line for an item, with `file` as given; parse_manifest_line reads it back.
std::string manifest_line(const Item& item, const std::string& file);

}  // namespace pangu::data
