// Turns pictures into feature vectors by the packaged Inception (nn/features/inception.h), and
// keeps the features of a dataset's real pictures in a file, because they never change. Generated
// pictures are softer and less exactly placed than real ones; a probe learns from softened views of
// the real ones to ignore that.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "data/manifest.h"
#include "image/image.h"

namespace pangu::eval {

struct Features {
  at::Tensor mixed6;  // [N,768] f32
  at::Tensor final;   // [N,2048] f32; undefined if it was not asked for

  Features rows(const at::Tensor& index) const;  // index: [M] i64
};

Features cat(const std::vector<Features>& parts);

// Makes features of pictures: at least one, RGB, of any sizes.
struct FeatureSource {
  std::string fingerprint;  // tells sources apart in the cache
  std::function<Features(const std::vector<image::Image>& pictures, bool with_final,
                         const OnProgress& progress)>
      features_of;
};

// Opens the Inception of a file that tools/export_inception.py wrote. Throws kIo if it cannot be
// read, kBadInput if it is something else.
FeatureSource inception_features(const std::string& weights_path);

// The side of the square on which real and generated pictures are laid.
inline constexpr int kPicturePx = 256;
// View 0 of a picture is the picture itself, view 1 a softened one.
inline constexpr int kViews = 2;

// Returns the picture blurred (shrunk to 64..128 pixels and enlarged again), moved and resized by a
// few percent, and perhaps mirrored; `key` alone decides how.
image::Image softened(const image::Image& picture, const std::string& key);

// Returns the features of every item's views: view v of item i is row v * items + i of mixed6;
// `final` has the rows of view 0 only. `cache` is a safetensors file: it is read if it was made
// from the same pictures and weights, and otherwise made. It is saved after every `save_every`
// pictures, so that an interrupted run goes on where it was. Throws kBadInput or kIo naming a
// picture that cannot be read.
Features real_features(const FeatureSource& source, const std::vector<data::Item>& items,
                       const std::string& cache, const OnProgress& progress = {},
                       size_t save_every = 400);

}  // namespace pangu::eval
