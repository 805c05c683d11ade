// A contact sheet: many pictures in one grid, for training samples and reports. Draws no text.
#pragma once
#include "image/image.h"

namespace pangu::image {

struct SheetLayout {
  int columns = 8;
  int cell_px = 128;
  int gap_px = 4;
  Color background = {255, 255, 255};
};

// Row by row from the top left, each picture fitted into its cell. Error kInternal if there is no
// picture or the layout is not positive.
Image contact_sheet(const std::vector<Image>& pictures, const SheetLayout& layout = {});

}  // namespace pangu::image
