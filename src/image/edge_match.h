// How well the edges of one picture follow those of another, as boundary detectors are judged:
// precision and recall of edge pixels within a tolerance, and their F1. It finds no edges itself
// (image/canny.h does).
// Measure: Martin, Fowlkes and Malik 2004, with the nearest pixel instead of a one-to-one match.
#pragma once
#include <cstdint>

#include "image/image.h"

namespace pangu::image {

struct EdgeMatch {
  int64_t found = 0, found_near = 0;  // pixels of the result, and those near an asked one
  int64_t asked = 0, asked_near = 0;  // asked pixels, and those near one of the result

  // Of no pixels all are right: a map without edges follows one without edges.
  double precision() const { return found ? double(found_near) / double(found) : 1.0; }
  double recall() const { return asked ? double(asked_near) / double(asked) : 1.0; }
  double f1() const;  // harmonic mean; 0 if both are 0
};

// Maps of one size, RGB, bright on dark: a pixel whose red is at least 128 is an edge. Near is at
// most `tolerance_px` away (Euclidean, between centres). Error kInternal for empty maps, of
// different sizes, or a negative tolerance.
EdgeMatch match_edges(const Image& found, const Image& asked, int tolerance_px = 2);

}  // namespace pangu::image
