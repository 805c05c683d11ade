// A text file line by line: what manifests and metadata in JSON lines are read by.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "io/mapped_file.h"

namespace pangu::data {

// Calls take(number, line) for every line of the file that is not blank; the first line's number is
// 1. Error kIo if it cannot be read, and what take throws.
template <class Take>
void for_each_line(const std::string& path, const Take& take) {
  const io::MappedFile file(path);
  std::string_view rest(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) take(number, line);
  }
}

}  // namespace pangu::data
