#include "data/training_list.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/error.h"
#include "data/buckets.h"
#include "data/dataset.h"
#include "data/scenes.h"

namespace pangu::data {
namespace {

// Shapes that scenes are composed in, in turn: mostly square.
std::vector<Bucket> scene_shapes(const TrainingListOptions& options) {
  const int side = options.resolution_px;
  std::vector<Bucket> shapes(4, {side, side});
  if (options.enable_bucket) {
    shapes.insert(shapes.end(), {{side * 3 / 4, side * 5 / 4}, {side * 5 / 4, side * 3 / 4}});
  }
  return shapes;
}

std::vector<Bucket> picture_buckets(const TrainingListOptions& options) {
  const int side = options.resolution_px;
  if (!options.buckets.empty()) return options.buckets;
  if (!options.enable_bucket) return {{side, side}};
  const int step = options.bucket_step_px;
  return make_buckets({.resolution_px = side,
                       .min_side_px = std::max(step, side / 2 / step * step),
                       .max_side_px = side * 2,
                       .step_px = step});
}

// The bucket, or the part of it that a picture fills without being enlarged, in steps.
Bucket without_upscale(const Bucket& bucket, const Item& item, int step) {
  const auto side = [&](int own, int most) {
    return own >= most ? most : std::max(step, own / step * step);
  };
  return {side(item.width, bucket.width), side(item.height, bucket.height)};
}

// What image::cover cuts off on the left and at the top.
std::pair<int, int> crop_of(const Bucket& bucket, const Item& item) {
  if (item.has_alpha || item.width == 0 || item.height == 0) return {0, 0};
  const double scale =
      std::max(double(bucket.width) / item.width, double(bucket.height) / item.height);
  const auto cut = [&](int own, int kept) {
    return std::max(0, static_cast<int>((own * scale - kept) / 2));
  };
  return {cut(item.width, bucket.width), cut(item.height, bucket.height)};
}

// Names what is drawn of a picture with these bytes.
std::string key_of(const std::string& content, const Item& item) {
  if (item.stored_px == 0) return content;
  return content + " stored at " + std::to_string(item.stored_px) + " px";
}

// A picture whose bytes are bad is left out, today and tomorrow; one whose bytes cannot be read at
// present ends the run, so that the same data stays the same dataset.
std::optional<image::Image> decoded_or_skipped(const Item& item, Report& report_) {
  try {
    return image::decode_image(read_bytes(item));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kBadInput) throw;
    report_.skip(item.id, error.what());
    return std::nullopt;
  }
}

void add_scenes(const std::vector<Item>& items, const std::string& index,
                const TrainingListOptions& options, std::vector<TrainingPicture>& list_) {
  const std::vector<Bucket> shapes = scene_shapes(options);
  for (size_t shape = 0; shape < shapes.size(); ++shape) {
    SceneOptions scene;
    scene.width_px = shapes[shape].width;
    scene.height_px = shapes[shape].height;
    const SceneBook book(items, scene);
    for (size_t i = shape; i < static_cast<size_t>(options.scene_count); i += shapes.size()) {
      const auto plan = std::make_shared<const ScenePlan>(book.training_scene(options.seed, i));
      list_.push_back(
          {.key = "scene " + index + " " + std::to_string(options.seed) + " " + std::to_string(i),
           .draw = [plan, &items](Report&) -> std::optional<image::Image> {
             return draw_scene(*plan, [&](size_t item) { return load_image(items[item]); }).picture;
           },
           .width_px = scene.width_px,
           .height_px = scene.height_px,
           .captions = {plan->captions_en, plan->captions_zh}});
    }
  }
}

}  // namespace

std::vector<TrainingPicture> training_list(const std::vector<Item>& items,
                                           const std::vector<std::string>& contents,
                                           const std::string& index,
                                           const TrainingListOptions& options) {
  std::vector<TrainingPicture> list;
  const std::vector<Bucket> buckets = picture_buckets(options);
  for (size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    Bucket bucket = buckets[assign_bucket(buckets, item.width, item.height)];
    if (options.buckets.empty() && options.enable_bucket && options.bucket_no_upscale) {
      bucket = without_upscale(bucket, item, options.bucket_step_px);
    }
    const auto [crop_left, crop_top] = crop_of(bucket, item);
    list.push_back({.key = key_of(contents[i], item),
                    .draw = [&item](Report& report_) { return decoded_or_skipped(item, report_); },
                    .width_px = bucket.width,
                    .height_px = bucket.height,
                    .captions = {item.captions_en, item.captions_zh},
                    .repeats = item.repeats,
                    .is_masked = options.alpha_mask && item.has_alpha,
                    .original_width_px = item.width,
                    .original_height_px = item.height,
                    .crop_left_px = crop_left,
                    .crop_top_px = crop_top,
                    .item = &item});
  }
  if (options.scene_count > 0) add_scenes(items, index, options, list);
  return list;
}

}  // namespace pangu::data
