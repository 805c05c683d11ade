// Manifest lines and caption files to items. Opens nothing; every limit is here, once.
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

void add_caption(const json& value, std::vector<std::string>& captions_) {
  if (!value.is_string()) throw bad_input("a caption", "text", value.type_name());
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty()) return;
  if (text.size() > kMaxCaptionBytes || captions_.size() >= kMaxCaptions) {
    throw bad_input("captions", "at most 1024 of at most 16 KiB", "more");
  }
  captions_.push_back(text);
}

void add_by_script(const json& value, Item& item_) {
  const bool chinese = value.is_string() && has_han(value.get_ref<const std::string&>());
  add_caption(value, chinese ? item_.captions_zh : item_.captions_en);
}

void add_list(const json& object, const char* language, std::vector<std::string>& captions_) {
  const auto found = object.find(language);
  if (found == object.end()) return;
  if (!found->is_array()) throw bad_input("captions", "a list a language", found->type_name());
  for (const json& caption : *found) add_caption(caption, captions_);
}

void read_captions(const json& object, Item& item_) {
  if (const auto found = object.find("captions"); found != object.end()) {
    if (found->is_object()) {
      add_list(*found, "en", item_.captions_en);
      add_list(*found, "zh", item_.captions_zh);
    } else if (found->is_array()) {
      for (const json& caption : *found) add_by_script(caption, item_);
    } else {
      throw bad_input("captions", "{en, zh} or a list", found->type_name());
    }
  } else if (const auto one = object.find("caption"); one != object.end()) {
    add_by_script(*one, item_);
  }
}

// A manifest may come from anywhere: it must not point out of its folder.
void check_inside(const std::string& file) {
  bool inside = !file.empty() && file.front() != '/' && file.find('\0') == std::string::npos;
  for (size_t at = 0; inside && at <= file.size();) {
    const size_t slash = std::min(file.find('/', at), file.size());
    if (file.compare(at, slash - at, "..") == 0) inside = false;
    at = slash + 1;
  }
  if (!inside) {
    throw bad_input("manifest key 'file'", "a path inside the dataset", "'" + file + "'");
  }
}

}  // namespace

std::vector<std::string> captions_of(const Item& item, std::string_view language) {
  if (language == "en") return item.captions_en;
  if (language == "zh") return item.captions_zh;
  std::vector<std::string> all = item.captions_en;
  all.insert(all.end(), item.captions_zh.begin(), item.captions_zh.end());
  return all;
}

Item parse_manifest_line(std::string_view line, bool needs_file) {
  const char* const what = "manifest line";
  const JsonLimits limits{.max_bytes = kMaxLineBytes, .max_depth = kMaxDepth};
  const json object = JsonReader(what, parse_json(line, what, limits)).json();
  Item item;
  item.bytes.path = text_in(object, "file");
  if (needs_file || !item.bytes.path.empty()) check_inside(item.bytes.path);
  item.id = text_in(object, "id");
  if (item.id.empty()) item.id = item.bytes.path.substr(0, item.bytes.path.rfind('.'));
  item.width = side_in(object, "width");
  item.height = side_in(object, "height");
  item.concept_name = text_in(object, "concept");
  item.concept_id = text_in(object, "concept_id");
  item.group = text_in(object, "group");
  item.style = text_in(object, "style");
  item.licence = text_in(object, "licence");
  item.source = text_in(object, "source");
  item.part = text_in(object, "part");
  if (const std::string split = text_in(object, "split"); !split.empty()) item.split = split;
  pair_in(object, "names", item.name_en, item.name_zh);
  pair_in(object, "colour", item.colour_en, item.colour_zh);
  item.phrase_en = text_in(object, "phrase_en");
  item.measure_zh = text_in(object, "measure_zh");
  read_captions(object, item);
  if (item.captions_en.empty() && item.captions_zh.empty()) {
    // In a shard the captions may lie in a .txt beside the JSON.
    if (needs_file) throw bad_input("manifest line", "a caption", "none");
  }
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
  object["captions"] = {{"en", item.captions_en}, {"zh", item.captions_zh}};
  // Names of files need not be UTF-8; what is not becomes U+FFFD.
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void parse_caption_text(std::string_view text, Item& item_) {
  if (text.size() > kMaxLineBytes) {
    throw bad_input("caption file", "at most 1 MiB", std::to_string(text.size()) + " bytes");
  }
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);  // byte order mark of editors
  if (!is_utf8(text)) throw bad_input("caption file", "UTF-8", "other bytes");
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\0'; };
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && is_blank(line.back())) line.remove_suffix(1);
    while (!line.empty() && is_blank(line.front())) line.remove_prefix(1);
    if (!line.empty()) add_by_script(json(std::string(line)), item_);
  }
  if (item_.captions_en.empty() && item_.captions_zh.empty()) {
    throw bad_input("caption file", "a caption", "none");
  }
}

}  // namespace pangu::data
