#include "data/picture_folder.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "core/error.h"
#include "data/captions.h"
#include "data/file_lines.h"
#include "data/file_names.h"
#include "data/sample.h"
#include "io/mapped_file.h"

namespace pangu::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMetadataName = "metadata.jsonl";
// kohya's, the one of the last stage of preparation first.
constexpr std::array kKohyaNames = {"meta_lat.json", "meta_clean.json", "meta_cap_dd.json",
                                    "meta_cap.json"};

// What one file of metadata says of pictures, by their names in the dataset.
struct Described {
  std::map<std::string, ForeignJson> pictures;
  std::set<std::string> read_from;  // names of these files
  std::set<std::string> used;       // names of `pictures` that were asked for

  const ForeignJson* find(const std::string& name) {
    const auto found = pictures.find(name);
    if (found == pictures.end()) return nullptr;
    used.insert(name);
    return &found->second;
  }
};

// Several lines may describe one picture, each with a caption.
void add_description(ForeignJson said, const std::string& name, Described& described_) {
  const auto [place, fresh] = described_.pictures.try_emplace(name, said);
  if (fresh) return;
  Item& item = place->second.item;
  const auto append = [](const auto& from, auto& to_) {
    to_.insert(to_.end(), from.begin(), from.end());
  };
  append(said.item.captions_en, item.captions_en);
  append(said.item.captions_zh, item.captions_zh);
  append(said.dropped, place->second.dropped);
}

void read_metadata_lines(const std::string& folder, const std::string& name, Described& described_,
                         Report& report_) {
  for_each_line(folder + "/" + name, [&](int64_t number, std::string_view line) {
    try {
      MetadataLine parsed = parse_metadata_line(line);
      const fs::path inside = fs::path(folder_in(name)) / parsed.file_name;
      add_description(std::move(parsed.said), inside.lexically_normal().string(), described_);
    } catch (const Error& error) {
      report_.warn(name + ":" + std::to_string(number), error.what());
    }
  });
}

// A picture may be called by a path of the machine that prepared it: its base name counts then.
std::string name_in_dataset(const std::string& called) {
  const size_t slash = called.find_last_of("/\\");
  const bool absolute = called.starts_with('/') || (called.size() > 1 && called[1] == ':');
  return absolute && slash != std::string::npos ? called.substr(slash + 1) : called;
}

void read_kohya(const std::string& folder, const std::string& name, Described& described_,
                Report& report_) {
  std::vector<std::string> dropped;
  try {
    for (auto& [called, item] :
         parse_kohya_metadata(io::read_text_file(folder + "/" + name), dropped)) {
      add_description({std::move(item), false, {}}, name_in_dataset(called), described_);
    }
  } catch (const Error& error) {
    report_.warn(name, error.what());
  }
  for (const std::string& why : dropped) report_.warn(name, why);
}

Described read_descriptions(const std::string& folder, const std::vector<std::string>& names,
                            Report& report_) {
  Described described;
  for (const std::string& name : names) {
    if (name != folder_in(name) + kMetadataName) continue;
    described.read_from.insert(name);
    read_metadata_lines(folder, name, described, report_);
  }
  const auto is_there = [&](const char* name) {
    return std::binary_search(names.begin(), names.end(), std::string(name));
  };
  const auto kohya = std::find_if(kKohyaNames.begin(), kKohyaNames.end(), is_there);
  if (kohya != kKohyaNames.end()) read_kohya(folder, *kohya, described, report_);
  // Those of earlier stages say nothing that the last one does not.
  for (const char* name : kKohyaNames) {
    if (is_there(name)) described.read_from.insert(name);
  }
  return described;
}

// "10_red fox/a.png" is shown 10 times, and is a "red fox".
struct RepeatFolder {
  int repeats = 1;
  std::string words;
};
RepeatFolder repeat_folder_of(const std::string& name) {
  const size_t line = name.find('_'), slash = name.find('/');
  if (slash == std::string::npos || line > slash || line == 0 || line > 3) return {};
  int repeats = 0;
  for (size_t i = 0; i < line; ++i) {
    if (name[i] < '0' || name[i] > '9') return {};
    repeats = repeats * 10 + (name[i] - '0');
  }
  if (repeats < 1) return {};
  return {repeats, name.substr(line + 1, slash - line - 1)};
}

// Names of the files beside a picture, by their common stem.
struct Notes {
  std::string text, json;
};

}  // namespace

void open_picture_folder(const std::string& folder, const std::vector<std::string>& names,
                         std::vector<Item>& items_, Report& report_) {
  Described described = read_descriptions(folder, names, report_);
  std::map<std::string, Notes> notes;
  std::set<std::string> stems;  // of pictures
  for (const std::string& name : names) {
    const auto [stem, suffix] = split_at_last_dot(name);
    if (is_picture_suffix(suffix)) stems.insert(stem);
    if (described.read_from.count(name) > 0) continue;
    if (suffix == "json") notes[stem].json = name;
    // A .txt counts before a .caption.
    if (is_caption_suffix(suffix) && (suffix == "txt" || notes[stem].text.empty())) {
      notes[stem].text = name;
    }
  }
  const auto path_of = [&](const std::string& name) { return folder + "/" + name; };
  for (const std::string& name : names) {
    const auto [stem, suffix] = split_at_last_dot(name);
    if (is_other_picture_suffix(suffix)) {
      skip_other_format(name, suffix, report_);
    } else if (is_picture_suffix(suffix)) {
      keep_or_skip(name, items_, report_, [&] {
        const RepeatFolder repeat = repeat_folder_of(name);
        Beside beside{{}, {}, repeat.words};
        const Notes& own = notes[stem];
        const ForeignJson* said = described.find(name);
        if (!said) said = described.find(stem);
        if (said) {
          beside.json = *said;
        } else if (!own.json.empty()) {
          beside.json = parse_foreign_json(io::read_text_file(path_of(own.json)));
        }
        if (!own.text.empty()) beside.text = io::read_text_file(path_of(own.text));
        Item item = item_of(beside, name, report_);
        item.id = stem;
        item.repeats = std::max(item.repeats, repeat.repeats);
        item.bytes.path = path_of(name);
        read_header(io::MappedFile(item.bytes.path).bytes(), item);
        return item;
      });
    } else if (described.read_from.count(name) == 0 && suffix != "tar" &&
               !(stems.count(stem) > 0 && (suffix == "json" || is_caption_suffix(suffix)))) {
      report_.pass_over(suffix);
    }
  }
  for (const auto& [name, said] : described.pictures) {
    if (described.used.count(name) == 0) report_.warn(name, "described, but not in the folder");
  }
}

}  // namespace pangu::data
