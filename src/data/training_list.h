// What a training sees of a dataset: every picture at the size of its bucket, composed scenes
// beside them, and the captions of both. It is a list of what to draw; nothing is decoded to make
// it.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/buckets.h"
#include "data/manifest.h"
#include "data/report.h"
#include "image/image.h"

namespace pangu::data {

struct TrainingListOptions {
  int resolution_px = 256;  // the side of the square, or the root of every bucket's area
  bool enable_bucket = false;
  int bucket_step_px = 64;
  bool bucket_no_upscale = false;    // a picture that is smaller than its bucket is not enlarged
  std::vector<Bucket> buckets = {};  // in place of those of the options above; empty: those
  bool alpha_mask = false;           // transparency is a mask of the loss, no cut-out
  int64_t scene_count = 0;
  uint64_t seed = 0;  // of the scenes
};

struct TrainingPicture {
  std::string key;  // tells what is drawn, whatever its size
  // The picture in its own size; nothing, and a line in the report, if it cannot be read.
  std::function<std::optional<image::Image>(Report& report_)> draw;
  int width_px = 0, height_px = 0;                      // that it is trained at
  std::vector<std::vector<std::string>> captions = {};  // English ones, Chinese ones
  int repeats = 1;                                      // how often an epoch shows it
  bool is_masked = false;                               // its alpha channel is a mask of the loss
  // The picture's own size, 0 of a scene; and what is cut off of it at the trained size.
  int original_width_px = 0, original_height_px = 0;
  int crop_left_px = 0, crop_top_px = 0;
  const Item* item = nullptr;  // that it shows; null: a scene
};

// contents: the hash of each item's bytes; index: one of all items and contents, on which scenes
// depend. The items have to outlive the list. Error kBadInput if no bucket fits the resolution, or
// if scenes are asked for and the items can make none.
std::vector<TrainingPicture> training_list(const std::vector<Item>& items,
                                           const std::vector<std::string>& contents,
                                           const std::string& index,
                                           const TrainingListOptions& options);

}  // namespace pangu::data
