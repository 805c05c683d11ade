// Short texts on pictures: one line of printable ASCII in one font. It knows no layout of pages.
#pragma once
#include <string>

#include "image/image.h"

namespace pangu::image {

// Width and height of a line in pixels; `scale` makes whole pixels larger.
std::pair<int, int> label_size(const std::string& text, int scale = 1);

// Black on what is there, the top left corner at (x, y); what lies outside is cut off. Characters
// that are not printable ASCII are boxes.
void draw_label(Image& image, const std::string& text, int x, int y, int scale = 1);

}  // namespace pangu::image
