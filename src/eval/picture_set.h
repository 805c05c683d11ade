// The pictures of a folder as a set that is measured: which there are, in a fixed order that splits
// and shards count by, and how one of them is read.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "image/image.h"

namespace pangu::eval {

struct PictureSet {
  std::string folder;
  std::vector<std::string> names;  // in it and below it, sorted
  std::string hash;                // SHA-256 of the names
  int64_t size() const { return static_cast<int64_t>(names.size()); }
};

// The PNG, JPEG and WebP files of a folder, by the ends of their names. Error kBadInput if there is
// no such folder or no picture in it.
PictureSet picture_set(const std::string& folder);

// Picture `index`, scaled so that it covers a square of `size_px` and cut to it at the centre,
// unless size_px is 0. Error kBadInput or kIo names the file: a score over a part of a set would be
// another score.
image::Image picture_of(const PictureSet& set, int64_t index, int size_px);

// The pictures [begin, end) of a set.
struct PictureRange {
  int64_t begin = 0, end = 0;
  bool operator==(const PictureRange&) const = default;
};
// Shard `index` of `count`, from 0; together they are the whole, each picture in one of them.
PictureRange shard_of(int64_t total, int index, int count);

}  // namespace pangu::eval
