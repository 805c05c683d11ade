// Helpers for parity tests of whole pictures: how far two pictures differ, and whether a case would
// notice that its setting is read wrongly.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "case.h"
#include "image/image.h"
#include "image/resize.h"

namespace pangu::parity {

// Mean differences of bytes. Rounding in f32 gives about 3e-4; karras over the whole table gives up
// to 6e-3, because diffusers holds the table in f32, which changes t by 1e-3. A case whose setting
// changes the picture by less than kLeastSensitivity proves nothing: a twentieth of that is ten
// times the rounding in f32.
constexpr double kMostPictureError = 0.01;
constexpr double kShareOfSensitivity = 1.0 / 20.0;
constexpr double kLeastSensitivity = 0.05;

inline double mean_difference(const image::Image& a, const image::Image& b) {
  REQUIRE(a.width == b.width);
  REQUIRE(a.height == b.height);
  const image::Image left = image::composite_over(a), right = image::composite_over(b);
  double sum = 0;
  for (size_t i = 0; i < left.pixels.size(); ++i) {
    sum += std::abs(int(left.pixels[i]) - int(right.pixels[i]));
  }
  return sum / double(left.pixels.size());
}

// The greatest and the least mean difference among the pictures of a batch.
struct PictureDifference {
  double most = 0, least = 255;
};
inline PictureDifference difference_of(const std::vector<image::Image>& a,
                                       const std::vector<image::Image>& b) {
  REQUIRE(!a.empty());
  REQUIRE(a.size() == b.size());
  PictureDifference difference;
  for (size_t i = 0; i < a.size(); ++i) {
    const double mean = mean_difference(a[i], b[i]);
    difference.most = std::max(difference.most, mean);
    difference.least = std::min(difference.least, mean);
  }
  return difference;
}

// Like report() (case.h). `sensitivity` is the picture's difference when `setting` is changed; the
// bound is at most a twentieth of it.
inline void report_picture(const std::string& name, double error, double sensitivity,
                           const std::string& setting, double most = kMostPictureError) {
  CHECK_MESSAGE(sensitivity >= kLeastSensitivity, name, " with ", setting, " differs by only ",
                sensitivity);
  std::printf("changed %-48s by %.2f with %s\n", name.c_str(), sensitivity, setting.c_str());
  report("picture: " + name, error, std::min(most, sensitivity * kShareOfSensitivity));
}

// Reports what other programs do in a case, which docs/models.md must say. `differs`: whether that
// gives another picture.
inline void report_rival(const std::string& name, const std::string& ours,
                         const std::string& theirs, bool differs, double difference) {
  std::printf("rival   %s | %s | %s | %.2f\n", name.c_str(), ours.c_str(), theirs.c_str(),
              difference);
  CHECK_MESSAGE((difference > kMostPictureError) == differs, name, ": ", theirs);
  CHECK_MESSAGE(
      page().find("| " + name + " | " + ours + " | " + theirs + " |") != std::string::npos,
      "docs/parity.md does not say what others do in '", name, "': ", theirs,
      "; tools/parity_page.py writes it");
}

}  // namespace pangu::parity
