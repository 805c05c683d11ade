#include "data/file_names.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>

namespace pangu::data {
namespace {

size_t base_of(const std::string& name) {
  const size_t slash = name.rfind('/');
  return slash == std::string::npos ? 0 : slash + 1;
}

// Split at a dot behind the base name's first letter; elsewhere there is no suffix.
NameParts split_at(const std::string& name, size_t dot) {
  if (dot == std::string::npos || dot <= base_of(name)) return {name, ""};
  NameParts parts{name.substr(0, dot), name.substr(dot + 1)};
  for (char& c : parts.suffix) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return parts;
}

bool is_one_of(const std::string& suffix, std::initializer_list<const char*> known) {
  return std::find(known.begin(), known.end(), suffix) != known.end();
}

}  // namespace

NameParts split_at_last_dot(const std::string& name) { return split_at(name, name.rfind('.')); }

NameParts split_at_first_dot(const std::string& name) {
  return split_at(name, name.find('.', base_of(name)));
}

std::string folder_in(const std::string& name) { return name.substr(0, base_of(name)); }

bool is_hidden(const std::string& name) {
  const size_t base = base_of(name);
  return base < name.size() && name[base] == '.';
}

bool is_picture_suffix(const std::string& suffix) {
  return is_one_of(suffix, {"png", "jpg", "jpeg", "jpe", "jfif", "webp"});
}

bool is_other_picture_suffix(const std::string& suffix) {
  return is_one_of(suffix, {"avif", "bmp", "gif", "heic", "heif", "jp2", "jxl", "tif", "tiff"});
}

bool is_caption_suffix(const std::string& suffix) { return is_one_of(suffix, {"txt", "caption"}); }

}  // namespace pangu::data
