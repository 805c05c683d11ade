// Manifest lines to items and back. Opens nothing; every limit of an item is here, once.
#include "data/manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_reader.h"
#include "core/utf8.h"

namespace pangu::data {
namespace {

using nlohmann::json;

constexpr size_t kMaxLineBytes = size_t{1} << 20;
constexpr int kMaxDepth = 8;
constexpr size_t kMaxCaptions = 1024;
constexpr size_t kMaxCaptionBytes = size_t{16} << 10;
constexpr int64_t kMaxSidePx = 1 << 20;

// Text under `key`; empty if it is absent or null.
std::string text_in(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return "";
  if (!found->is_string()) {
    throw bad_input(std::string("manifest key '") + key + "'", "text", found->type_name());
  }
  const auto& text = found->get_ref<const std::string&>();
  if (text.size() > kMaxCaptionBytes) {
    throw bad_input(std::string("manifest key '") + key + "'", "at most 16 KiB",
                    std::to_string(text.size()) + " bytes");
  }
  return text;
}

int side_in(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return 0;
  if (!found->is_number_integer() || found->get<int64_t>() < 1 ||
      found->get<int64_t>() > kMaxSidePx) {
    throw bad_input(std::string("manifest key '") + key + "'", "a size in pixels",
                    found->dump().substr(0, 40));
  }
  return static_cast<int>(found->get<int64_t>());
}

// {"en": text, "zh": text} under `key`, or nothing.
void pair_in(const json& object, const char* key, std::string& en_, std::string& zh_) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return;
  if (!found->is_object()) {
    throw bad_input(std::string("manifest key '") + key + "'", "{en, zh}", found->type_name());
  }
  en_ = text_in(*found, "en");
  zh_ = text_in(*found, "zh");
}

void add_to(std::vector<std::string>& captions_, const std::string& caption) {
  if (caption.empty()) return;
  if (caption.size() > kMaxCaptionBytes || captions_.size() >= kMaxCaptions) {
    throw bad_input("captions", "at most 1024 of at most 16 KiB", "more");
  }
  captions_.push_back(caption);
}

const std::string& text_of(const json& value) {
  if (!value.is_string()) throw bad_input("a caption", "text", value.type_name());
  return value.get_ref<const std::string&>();
}

void add_list(const json& object, const char* language, std::vector<std::string>& captions_) {
  const auto found = object.find(language);
  if (found == object.end()) return;
  if (!found->is_array()) throw bad_input("captions", "a list a language", found->type_name());
  for (const json& caption : *found) add_to(captions_, text_of(caption));
}

void read_captions(const json& object, Item& item_) {
  const auto found = object.find("captions");
  if (found == object.end() || found->is_null()) return;
  if (found->is_object()) {
    add_list(*found, "en", item_.captions_en);
    add_list(*found, "zh", item_.captions_zh);
  } else if (found->is_array()) {
    for (const json& caption : *found) add_caption(text_of(caption), item_);
  } else if (found->is_string()) {
    add_caption(text_of(*found), item_);
  } else {
    throw bad_input("captions", "{en, zh} or a list", found->type_name());
  }
}

void read_repeats(const json& object, Item& item_) {
  const auto found = object.find("repeats");
  if (found == object.end() || found->is_null()) return;
  if (!found->is_number_integer() || found->get<int64_t>() < 1 ||
      found->get<int64_t>() > kMaxRepeats) {
    throw bad_input("manifest key 'repeats'", "1 to " + std::to_string(kMaxRepeats),
                    found->dump().substr(0, 40));
  }
  item_.repeats = static_cast<int>(found->get<int64_t>());
}

}  // namespace

std::vector<std::string> captions_of(const Item& item, std::string_view language) {
  if (language == "en") return item.captions_en;
  if (language == "zh") return item.captions_zh;
  std::vector<std::string> all = item.captions_en;
  all.insert(all.end(), item.captions_zh.begin(), item.captions_zh.end());
  return all;
}

void check_inside(const std::string& what, const std::string& file) {
  bool inside = !file.empty() && file.front() != '/' && file.find('\0') == std::string::npos;
  for (size_t at = 0; inside && at <= file.size();) {
    const size_t slash = std::min(file.find('/', at), file.size());
    if (file.compare(at, slash - at, "..") == 0) inside = false;
    at = slash + 1;
  }
  if (!inside) {
    throw bad_input(what, "a path inside the dataset", "'" + file + "'");
  }
}

void add_caption(const std::string& caption, Item& item_) {
  add_to(has_han(caption) ? item_.captions_zh : item_.captions_en, caption);
}

bool has_caption(const Item& item) {
  return !item.captions_en.empty() || !item.captions_zh.empty();
}

void read_fields(const json& object, Item& item_, std::vector<std::string>* dropped_) {
  const auto field = [&](const auto& read) {
    try {
      read();
    } catch (const Error& error) {
      if (!dropped_) throw;
      dropped_->push_back(error.what());
    }
  };
  const auto text = [&](const char* key, std::string& value_) {
    field([&] {
      if (std::string found = text_in(object, key); !found.empty()) value_ = std::move(found);
    });
  };
  text("id", item_.id);
  text("concept", item_.concept_name);
  text("concept_id", item_.concept_id);
  text("group", item_.group);
  text("style", item_.style);
  text("licence", item_.licence);
  text("source", item_.source);
  text("part", item_.part);
  text("split", item_.split);
  field([&] { pair_in(object, "names", item_.name_en, item_.name_zh); });
  field([&] { pair_in(object, "colour", item_.colour_en, item_.colour_zh); });
  text("phrase_en", item_.phrase_en);
  text("measure_zh", item_.measure_zh);
  field([&] { read_repeats(object, item_); });
  field([&] { read_captions(object, item_); });
}

Item parse_manifest_line(std::string_view line) {
  const char* const what = "manifest line";
  const JsonLimits limits{.max_bytes = kMaxLineBytes, .max_depth = kMaxDepth};
  const json object = JsonReader(what, parse_json(line, what, limits)).json();
  Item item;
  item.bytes.path = text_in(object, "file");
  check_inside("manifest key 'file'", item.bytes.path);
  item.id = item.bytes.path.substr(0, item.bytes.path.rfind('.'));
  item.width = side_in(object, "width");
  item.height = side_in(object, "height");
  read_fields(object, item, nullptr);
  if (!has_caption(item)) add_caption(text_in(object, "caption"), item);
  if (!has_caption(item)) throw bad_input("manifest line", "a caption", "none");
  return item;
}

std::string manifest_line(const Item& item, const std::string& file) {
  nlohmann::ordered_json object;
  object["file"] = file;
  object["id"] = item.id;
  const auto put = [&](const char* key, const std::string& value) {
    if (!value.empty()) object[key] = value;
  };
  const auto put_pair = [&](const char* key, const std::string& en, const std::string& zh) {
    if (!en.empty() || !zh.empty()) object[key] = {{"en", en}, {"zh", zh}};
  };
  put("concept", item.concept_name);
  put("concept_id", item.concept_id);
  put("group", item.group);
  put("style", item.style);
  put("part", item.part);
  put("licence", item.licence);
  put("source", item.source);
  if (item.width > 0) object["width"] = item.width;
  if (item.height > 0) object["height"] = item.height;
  put("split", item.split);
  put_pair("names", item.name_en, item.name_zh);
  put("phrase_en", item.phrase_en);
  put("measure_zh", item.measure_zh);
  put_pair("colour", item.colour_en, item.colour_zh);
  if (item.repeats > 1) object["repeats"] = item.repeats;
  object["captions"] = {{"en", item.captions_en}, {"zh", item.captions_zh}};
  // Names of files need not be UTF-8; what is not becomes U+FFFD.
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace pangu::data
