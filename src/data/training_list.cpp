#include "data/training_list.h"

#include <algorithm>
#include <memory>

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

// Names what is drawn of a picture with these bytes.
std::string key_of(const std::string& content, const Item& item) {
  if (item.stored_px == 0) return content;
  return content + " stored at " + std::to_string(item.stored_px) + " px";
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
          {"scene " + index + " " + std::to_string(options.seed) + " " + std::to_string(i),
           [plan, &items](Report&) -> std::optional<image::Image> {
             return draw_scene(*plan, [&](size_t item) { return load_image(items[item]); }).picture;
           },
           scene.width_px,
           scene.height_px,
           {plan->captions_en, plan->captions_zh},
           /*repeats=*/1,
           /*is_masked=*/false});
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
    if (options.enable_bucket && options.bucket_no_upscale) {
      bucket = without_upscale(bucket, item, options.bucket_step_px);
    }
    list.push_back({key_of(contents[i], item),
                    [&item](Report& report_) { return try_load_image(item, report_); },
                    bucket.width,
                    bucket.height,
                    {item.captions_en, item.captions_zh},
                    item.repeats,
                    options.alpha_mask && item.has_alpha});
  }
  if (options.scene_count > 0) add_scenes(items, index, options, list);
  return list;
}

}  // namespace pangu::data
