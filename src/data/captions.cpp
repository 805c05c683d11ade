#include "data/captions.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_reader.h"
#include "core/utf8.h"

namespace pangu::data {
namespace {

using nlohmann::json;

constexpr size_t kMaxTextBytes = size_t{1} << 20;
constexpr size_t kMaxMetadataBytes = size_t{256} << 20;
constexpr int kMaxDepth = 64;

// The same JSON with null for the numbers that JSON does not have, outside of its strings.
std::string without_nan(std::string_view text) {
  std::string clean;
  bool quoted = false;
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    size_t length = 1;
    if (quoted && rest[0] == '\\' && rest.size() > 1) {
      length = 2;
    } else if (rest[0] == '"') {
      quoted = !quoted;
    } else if (!quoted) {
      for (const std::string_view word : {"NaN", "-Infinity", "Infinity"}) {
        if (!rest.starts_with(word)) continue;
        clean += "null";
        length = 0;
        at += word.size();
        break;
      }
    }
    clean += text.substr(at, length);
    at += length;
  }
  return clean;
}

json object_of(std::string_view text, const char* what, size_t max_bytes) {
  const JsonLimits limits{.max_bytes = max_bytes, .max_depth = kMaxDepth};
  const bool has_nan =
      text.find("NaN") != std::string_view::npos || text.find("Infinity") != std::string_view::npos;
  if (!has_nan || text.size() > max_bytes) {
    return JsonReader(what, parse_json(text, what, limits)).json();
  }
  return JsonReader(what, parse_json(without_nan(text), what, limits)).json();
}

// A text, or a list of texts with commas between them; empty for everything else.
std::string joined_text(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  std::string joined;
  if (!found->is_array()) return joined;
  for (const json& part : *found) {
    if (!part.is_string()) return "";
    joined += (joined.empty() ? "" : ", ") + part.get_ref<const std::string&>();
  }
  return joined;
}

ForeignJson foreign_of(const json& object) {
  ForeignJson said;
  read_fields(object, said.item, &said.dropped);
  said.own_captions = has_caption(said.item);
  for (const char* key : {"caption", "text", "prompt", "tags"}) {
    if (has_caption(said.item)) break;
    try {
      add_caption(joined_text(object, key), said.item);
    } catch (const Error& error) {
      said.dropped.push_back(std::string("key '") + key + "': " + error.what());
    }
  }
  return said;
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\0'; }

}  // namespace

void parse_caption_text(std::string_view bytes, Item& item_) {
  if (bytes.size() > kMaxTextBytes) {
    throw bad_input("caption file", "at most 1 MiB", std::to_string(bytes.size()) + " bytes");
  }
  const std::optional<std::string> text = utf8_of_text_file(bytes);
  if (!text) {
    throw bad_input("caption file", "UTF-8, or UTF-16 with its byte order mark", "other bytes",
                    "turn it into UTF-8: `iconv -f GBK -t UTF-8` for Chinese, `-f WINDOWS-1252` "
                    "for western Europe");
  }
  for (std::string_view rest = *text; !rest.empty();) {
    const size_t end = std::min(rest.find_first_of("\r\n"), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    while (!line.empty() && is_blank(line.back())) line.remove_suffix(1);
    while (!line.empty() && is_blank(line.front())) line.remove_prefix(1);
    add_caption(std::string(line), item_);
  }
  if (!has_caption(item_)) throw bad_input("caption file", "a caption", "none");
}

ForeignJson parse_foreign_json(std::string_view text) {
  try {
    return foreign_of(object_of(text, "the JSON beside it", kMaxTextBytes));
  } catch (const Error& error) {
    ForeignJson nothing;
    nothing.dropped.push_back(error.what());
    return nothing;
  }
}

MetadataLine parse_metadata_line(std::string_view line) {
  const json object = object_of(line, "metadata line", kMaxTextBytes);
  MetadataLine parsed;
  const auto found = object.find("file_name");
  if (found != object.end() && found->is_string()) parsed.file_name = found->get<std::string>();
  check_inside("metadata key 'file_name'", parsed.file_name);
  parsed.said = foreign_of(object);
  return parsed;
}

std::map<std::string, Item> parse_kohya_metadata(std::string_view text,
                                                 std::vector<std::string>& dropped_) {
  std::map<std::string, Item> items;
  const json object = object_of(text, "metadata of kohya's trainer", kMaxMetadataBytes);
  for (const auto& [name, entry] : object.items()) {
    std::string caption;
    if (entry.is_object()) {
      caption = joined_text(entry, "caption");
      const std::string tags = joined_text(entry, "tags");
      if (!tags.empty()) caption += (caption.empty() ? "" : ", ") + tags;
    }
    try {
      if (caption.empty()) throw bad_input("'" + name + "'", "a caption or tags", "none");
      add_caption(caption, items[name]);
    } catch (const Error& error) {
      items.erase(name);
      dropped_.push_back(error.what());
    }
  }
  return items;
}

}  // namespace pangu::data
