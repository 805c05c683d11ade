// What FID, KID, Inception Score and CLIP score need of a set of pictures, gathered picture by
// picture in memory that does not grow with the set: moments in f64, sums of classes and of
// cosines, and at most kMostKernelRows feature vectors. Parts that several processes gathered merge
// to the whole.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "eval/frechet.h"
#include "eval/inception_score.h"
#include "eval/picture_set.h"
#include "nn/features/fid_inception.h"

namespace pangu::eval {

// What was measured, and by what: parts merge, and a file is gone on with, only if all is equal.
struct MeasuredSet {
  int64_t total = 0;         // pictures of the whole set
  std::string pictures;      // PictureSet::hash
  std::string weights;       // SHA-256 of the FID network's file; empty: it was not used
  std::string resize;        // name_of(FidResize)
  std::string clip_weights;  // SHA-256 of CLIP's file; empty: it was not used
  std::string captions;      // SHA-256 of the captions
  int size_px = 0;           // pictures were cut to this square before; 0: they were not
  bool operator==(const MeasuredSet&) const = default;
};

// Feature vectors kept for KID: all of a set up to this size, of a larger one so many at equal
// distances.
inline constexpr int64_t kMostKernelRows = 50'000;

// Sums of 100 times the cosine of a picture and its caption, those below 0 counted as 0.
struct ClipSums {
  int64_t count = 0;
  double sum = 0, sum_of_squares = 0;
  double mean() const { return count ? sum / double(count) : 0; }
};

class PictureStatistics {
 public:
  // Of the pictures of `range`, none of which has been seen yet.
  PictureStatistics(MeasuredSet set, PictureRange range);

  // The next pictures of the range. Either may be empty (no defined tensor, no cosine), always the
  // same.
  void add(int64_t count, const nn::FidFeatures& features, const std::vector<double>& clip_scores);

  const MeasuredSet& set() const { return set_; }
  const PictureRange& range() const { return range_; }
  int64_t next() const { return next_; }  // the picture that add() expects
  bool is_complete() const { return next_ == range_.end; }
  bool is_whole() const { return is_complete() && range_.begin == 0 && next_ == set_.total; }

  const FeatureGaussian& gaussian() const { return gaussian_; }
  Spread inception_score() const { return score_.score(); }
  at::Tensor kernel_rows() const;  // [N,2048] f32, in the order of the pictures
  const ClipSums& clip() const { return clip_; }

  // A .safetensors, atomically. Error kIo.
  void save(const std::string& path) const;
  // Error kIo if it cannot be read, kBadInput if it is something else.
  static PictureStatistics load(const std::string& path);

  // The union of complete parts with adjoining ranges, in any order. Error kBadInput says which
  // does not fit.
  static PictureStatistics merged(std::vector<PictureStatistics> parts,
                                  const std::vector<std::string>& names);

 private:
  void append(PictureStatistics part);

  MeasuredSet set_;
  PictureRange range_;
  int64_t next_ = 0;
  FeatureGaussian gaussian_;
  InceptionScore score_;
  at::Tensor rows_;  // [room,2048] f32, of which rows_used_ are filled; undefined at first
  int64_t rows_used_ = 0;
  ClipSums clip_;
};

// Moments as pytorch-fid keeps them: an .npz with mu [F] and sigma [F,F]. Error kBadInput, kIo.
FeatureGaussian load_moments(const std::string& npz_path);
void save_moments(const std::string& npz_path, const FeatureGaussian& gaussian);

}  // namespace pangu::eval
