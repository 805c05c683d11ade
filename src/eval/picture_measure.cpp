#include "eval/picture_measure.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>

#include "core/error.h"

namespace pangu::eval {

void measure_pictures(const PictureSet& set, const PictureRulers& rulers,
                      const MeasureOptions& options, const Watch& watch,
                      const std::function<void()>& save, PictureStatistics& statistics_) {
  using Clock = std::chrono::steady_clock;
  const PictureRange range = statistics_.range();
  auto saved = Clock::now();
  const auto save_now = [&] {
    if (save) save();
    saved = Clock::now();
  };
  while (!statistics_.is_complete()) {
    const int64_t first = statistics_.next();
    const int64_t count = std::min(options.batch, range.end - first);
    std::vector<image::Image> pictures;
    std::vector<std::string> names;
    std::vector<at::Tensor> pixels;
    for (int64_t i = first; i < first + count; ++i) {
      pictures.push_back(picture_of(set, i, statistics_.set().size_px));
      names.push_back(set.names[static_cast<size_t>(i)]);
      if (rulers.fid_features) pixels.push_back(fid_pixels(pictures.back(), rulers.resize));
    }
    nn::FidFeatures features;
    if (rulers.fid_features) features = rulers.fid_features(at::cat(pixels));
    std::vector<double> scores;
    if (rulers.clip_scores) scores = rulers.clip_scores(names, pictures);
    statistics_.add(count, features, scores);
    Progress told;
    told.done = statistics_.next() - range.begin;
    told.total = range.end - range.begin;
    told.unit = "pictures";
    try {
      watch.report(told);
    } catch (const Stopped&) {
      save_now();
      throw;
    }
    const std::chrono::duration<double> since = Clock::now() - saved;
    if (since.count() > options.save_every_s) save_now();
  }
  save_now();
}

}  // namespace pangu::eval
