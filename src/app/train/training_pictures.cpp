#include "app/train/training_pictures.h"

#include <torch/types.h>

#include <cstdio>

#include "core/error.h"
#include "image/resize.h"

namespace pangu::app {
namespace {

// Scaled to fit side x side, centred on transparency.
at::Tensor fit(const image::Image& picture, int side) {
  image::Image canvas = image::filled(side, side, {255, 255, 255}, 4);
  for (size_t i = 3; i < canvas.pixels.size(); i += 4) canvas.pixels[i] = 0;
  const double scale = double(side) / std::max(picture.width, picture.height);
  const int w = std::max(1, int(picture.width * scale + 0.5));
  const int h = std::max(1, int(picture.height * scale + 0.5));
  image::paste(canvas, picture, {(side - w) / 2, (side - h) / 2, w, h});
  at::Tensor t = at::empty({side, side, 4}, at::kByte);
  std::memcpy(t.mutable_data_ptr(), canvas.pixels.data(), canvas.pixels.size());
  return t;
}

}  // namespace

std::vector<data::Item> training_items(const train::TrainConfig& config) {
  data::Report report;
  std::vector<data::Item> items;
  data::ItemFilter filter;
  filter.part = config.data_part;
  filter.splits = {"train"};
  filter.min_side_px = static_cast<int>(config.min_image_size);
  for (const std::string& path : config.train_data_dir) {
    for (data::Item& item : data::open_dataset(path, report)) {
      if (data::passes(item, filter)) items.push_back(std::move(item));
    }
  }
  if (report.skipped > 0) std::fprintf(stderr, "data: %s\n", report.text().c_str());
  if (items.empty()) {
    throw bad_input("train_data_dir", "at least one picture of part '" + config.data_part + "'",
                    "none", "`pangu-draw data stats FOLDER` counts what a folder holds");
  }
  return items;
}

std::vector<at::Tensor> load_training_pictures(const train::TrainConfig& config, int64_t side_px,
                                               const std::function<bool()>& stop) {
  data::Report report;
  std::vector<at::Tensor> pictures;
  for (const data::Item& item : training_items(config)) {
    if (stop && stop()) return {};
    if (const auto picture = data::try_load_image(item, report)) {
      pictures.push_back(fit(*picture, static_cast<int>(side_px)));
    }
  }
  if (report.skipped > 0) std::fprintf(stderr, "data: %s\n", report.text().c_str());
  if (pictures.empty()) throw bad_input("train_data_dir", "at least one readable picture", "none");
  return pictures;
}

}  // namespace pangu::app
