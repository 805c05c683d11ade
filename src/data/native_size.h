// Native sizes by lot: each picture of a dataset gets a size out of a stated histogram, by the hash
// of its name, and is from then on read no larger. Pictures that are all large become a dataset
// with the sizes that a collection from the web has, for studies of how sizes decide a training.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/manifest.h"

namespace pangu::data {

// Of every share_sum() pictures, shares[i] have sizes_px[i] pixels on the shorter side. Empty:
// every picture keeps its own size.
struct SizeHistogram {
  std::vector<int64_t> sizes_px, shares;

  bool empty() const { return sizes_px.empty(); }
  int64_t share_sum() const;
  // Error kBadInput, which calls the histogram `what`, unless there is a share for every size, all
  // of them positive, and sizes increase.
  void validate(const std::string& what) const;
};

// The share, 0 to 1, of pictures whose shorter side has at least `px` pixels. REQUIRES: not empty.
double share_of_at_least(const SizeHistogram& histogram, int64_t px);

// The size of the picture of this name. It depends on the name and the histogram alone, so that a
// picture keeps its size when others come or go. REQUIRES: not empty.
int64_t native_size_px(const SizeHistogram& histogram, std::string_view name);

// Gives every item of `items_` its native size, by Item::id: width, height and part become those of
// the picture shrunk to it, and load_image shrinks it (Item::stored_px). Pictures that are smaller
// already, and all of them where the histogram is empty, stay as they are.
void limit_sizes(const SizeHistogram& histogram, std::vector<Item>& items_);

}  // namespace pangu::data
