// Grids of pictures. Nothing here knows what they show.
#include "image/sheet.h"

#include <algorithm>

#include "core/error.h"
#include "image/label.h"
#include "image/resize.h"

namespace pangu::image {
namespace {

constexpr int kTableGap = 6;
constexpr int kLargeCell = 384;  // pixels from which on labels are larger

}  // namespace

Image contact_sheet(const std::vector<Image>& pictures, const SheetLayout& layout) {
  if (pictures.empty() || layout.columns < 1 || layout.cell_px < 1 || layout.gap_px < 0) {
    throw Error(ErrorCode::kInternal, "a contact sheet needs pictures and a positive layout");
  }
  const int count = static_cast<int>(pictures.size());
  const int columns = std::min(layout.columns, count);
  const int rows = (count + columns - 1) / columns;
  const int step = layout.cell_px + layout.gap_px;
  Image sheet =
      filled(columns * step + layout.gap_px, rows * step + layout.gap_px, layout.background);
  for (int i = 0; i < count; ++i) {
    const Image cell = contain(pictures[i], layout.cell_px, layout.cell_px, layout.background);
    paste(sheet, cell,
          {layout.gap_px + i % columns * step, layout.gap_px + i / columns * step, layout.cell_px,
           layout.cell_px});
  }
  return sheet;
}

Image labelled_table(const std::vector<Image>& pictures, const std::vector<std::string>& columns,
                     const std::vector<std::string>& rows) {
  if (columns.empty() || rows.empty() || pictures.size() != columns.size() * rows.size()) {
    throw Error(ErrorCode::kInternal, "a table needs a picture for each of its cells");
  }
  int width = 0, height = 0, before = 0;
  for (const Image& picture : pictures) {
    width = std::max(width, picture.width);
    height = std::max(height, picture.height);
  }
  const int scale = width >= kLargeCell ? 2 : 1;
  for (const std::string& row : rows) before = std::max(before, label_size(row, scale).first);
  for (const std::string& column : columns) {
    width = std::max(width, label_size(column, scale).first);
  }
  const int gap = kTableGap * scale, line = label_size("", scale).second;
  const int left = before == 0 ? gap : before + 2 * gap, top = line + 2 * gap;
  Image page = filled(left + static_cast<int>(columns.size()) * (width + gap),
                      top + static_cast<int>(rows.size()) * (height + gap), {});
  for (size_t i = 0; i < pictures.size(); ++i) {
    const int column = static_cast<int>(i % columns.size()),
              row = static_cast<int>(i / columns.size());
    const int x = left + column * (width + gap), y = top + row * (height + gap);
    if (row == 0) {
      draw_label(page, columns[static_cast<size_t>(column)],
                 x + (width - label_size(columns[static_cast<size_t>(column)], scale).first) / 2,
                 gap, scale);
    }
    if (column == 0) {
      draw_label(page, rows[static_cast<size_t>(row)], gap, y + (height - line) / 2, scale);
    }
    const Image& picture = pictures[i];
    if (!picture.empty()) paste(page, picture, {x, y, picture.width, picture.height});
  }
  return page;
}

}  // namespace pangu::image
