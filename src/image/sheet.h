// Grids of pictures: a contact sheet for training samples and reports, and a table whose rows and
// columns are labelled.
#pragma once
#include <string>
#include <vector>

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

// Pictures as they are, row by row, with a label over every column and before every row; the cells
// are as wide as the widest and as high as the highest. An empty picture leaves its cell empty.
// Error kInternal unless there is a picture for each cell.
Image labelled_table(const std::vector<Image>& pictures, const std::vector<std::string>& columns,
                     const std::vector<std::string>& rows);

}  // namespace pangu::image
