// The sizes that a network is told of one picture (Podell et al. 2023).
#pragma once

namespace pangu::pipeline {

struct PictureSizes {
  int width = 0, height = 0;                    // px, that it is drawn or trained at
  int original_width = 0, original_height = 0;  // px, before it was shrunk or enlarged
  int crop_left = 0, crop_top = 0;              // px, cut off at the trained size
  bool negative = false;                        // of the unconditional row
};

// Of a picture that is drawn: nothing was cut off.
inline PictureSizes drawn_sizes(int width, int height, bool negative) {
  return {width, height, width, height, 0, 0, negative};
}

}  // namespace pangu::pipeline
