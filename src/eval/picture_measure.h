// Reads the pictures of a set one batch after the other and puts them before the networks that
// measure.
#pragma once
#include <functional>
#include <vector>

#include "core/watch.h"
#include "eval/fid_resize.h"
#include "eval/picture_set.h"
#include "eval/picture_statistics.h"

namespace pangu::eval {

struct PictureRulers {
  // pixels: [B,3,299,299], as fid_pixels makes them by `resize`. Empty: no FID, KID, Inception
  // Score.
  std::function<nn::FidFeatures(const at::Tensor& pixels)> fid_features;
  FidResize resize = FidResize::kTensorflow;
  // 100 times the cosine of every picture and its caption, at least 0; `names` are the pictures' in
  // the set. Empty: no CLIP score.
  std::function<std::vector<double>(const std::vector<std::string>& names,
                                    const std::vector<image::Image>& pictures)>
      clip_scores;
};

struct MeasureOptions {
  int64_t batch = 16;
  double save_every_s = 300;
};

// Adds the pictures that `statistics_` has not seen of its range. Calls `save` (unless it is empty)
// now and then, and before it is stopped. Throws Stopped if the watch wants it, and kBadInput or
// kIo naming a picture that cannot be read.
void measure_pictures(const PictureSet& set, const PictureRulers& rulers,
                      const MeasureOptions& options, const Watch& watch,
                      const std::function<void()>& save, PictureStatistics& statistics_);

}  // namespace pangu::eval
