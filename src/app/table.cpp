#include "app/table.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace pangu::app {
namespace {

// Columns that a terminal gives to UTF-8 text: two for CJK, one for the rest.
size_t shown_width(const std::string& text) {
  size_t width = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0) != 0x80) width += byte >= 0xE3 && byte < 0xF5 ? 2 : 1;
  }
  return width;
}

bool is_number(const std::string& cell) {
  return !cell.empty() && cell.find_first_not_of("0123456789.,") == std::string::npos;
}

std::string scaled(double value, const std::array<const char*, 5>& units) {
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, value < 99.5 && unit > 0 ? "%.1f%s" : "%.0f%s", value,
                units[unit]);
  return text;
}

}  // namespace

std::string table(const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], shown_width(row[i]));
  }
  std::string text;
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string pad(widths[i] - shown_width(row[i]), ' ');
      if (i > 0) text += "  ";
      if (is_number(row[i])) {
        text += pad + row[i];
      } else {
        text += row[i] + (i + 1 < row.size() ? pad : "");
      }
    }
    text += '\n';
  }
  return text;
}

std::string human_bytes(double bytes) { return scaled(bytes, {" B", " kB", " MB", " GB", " TB"}); }

std::string human_count(int64_t count) {
  return scaled(static_cast<double>(count), {"", " k", " M", " G", " T"});
}

}  // namespace pangu::app
