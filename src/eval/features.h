// Pictures to feature vectors, by the packaged Inception (nn/features/inception.h), and the
// features of a dataset's real pictures, kept in a file because they never change. Generated
// pictures are softer and less exactly placed than real ones; softened views of the real ones teach
// a probe not to mind.
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

// Who makes features of pictures: RGB of any sizes, at least one.
struct FeatureSource {
  std::string fingerprint;  // tells sources apart, in the cache
  std::function<Features(const std::vector<image::Image>& pictures, bool with_final,
                         const OnProgress& progress)>
      of;
};

// The Inception of a file that tools/export_inception.py wrote. Error kIo if it cannot be read,
// kBadInput if it is something else.
FeatureSource inception_features(const std::string& weights_path);

// Side of the square on which real pictures are laid, as generated pictures are.
inline constexpr int kPicturePx = 256;
// View 0 of a picture is itself, view 1 a softened one.
inline constexpr int kViews = 2;

// The picture blurred (shrunk to 64..128 pixels and enlarged again), moved and resized by a few
// percent, mirrored or not, as `key` and nothing else decides.
image::Image softened(const image::Image& picture, const std::string& key);

// Features of every item's views: view v of item i is row v * items + i of mixed6; `final` has the
// rows of view 0 alone. `cache` is a safetensors
// file: read if it was made of the same pictures and weights, else made. It is saved after every
// `save_every` pictures, so that what was interrupted goes on where it was. Error kBadInput or kIo
// names a picture that cannot be read.
Features real_features(const FeatureSource& source, const std::vector<data::Item>& items,
                       const std::string& cache, const OnProgress& progress = {},
                       size_t save_every = 400);

}  // namespace pangu::eval
