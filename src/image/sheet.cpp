// Grids of pictures. Nothing here knows what they show.
#include "image/sheet.h"

#include <algorithm>

#include "core/error.h"
#include "image/resize.h"

namespace pangu::image {

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

}  // namespace pangu::image
