// Captions that are lists of tags, in other orders and with tags left out, as kohya's sd-scripts
// train them: so that a word means its thing and not its place in the list.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/manifest.h"

namespace pangu::data {

// The names are kohya's.
struct CaptionChanges {
  bool shuffle_caption = false;           // the tags, parted by commas, in a random order
  int64_t keep_tokens = 0;                // so many at the front stay where they are
  double caption_tag_dropout_rate = 0.0;  // of each tag that may move
  uint64_t seed = 0;

  bool is_none() const { return !shuffle_caption && caption_tag_dropout_rate == 0; }
};

// `count` versions of one caption, a pure function of the arguments. Behind a "|||" the tags may
// move, whatever keep_tokens says, and before it they stay; the mark itself vanishes.
std::vector<std::string> caption_variants(const std::string& caption, const CaptionChanges& changes,
                                          int64_t count);

// Replaces the captions of every item by `count` versions of each; equal ones are kept, so that
// each is as likely as it came up. Does nothing if there are no changes.
void vary_captions(std::vector<Item>& items_, const CaptionChanges& changes, int64_t count);

}  // namespace pangu::data
