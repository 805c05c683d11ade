#include "app/train/training_pictures.h"

#include <torch/types.h>

#include <cstdio>
#include <filesystem>
#include <iterator>
#include <mutex>
#include <set>

#include "core/error.h"
#include "data/content.h"
#include "data/indexed_dataset.h"
#include "data/native_size.h"
#include "image/resize.h"
#include "tensors/pictures.h"

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
  return tensors::levels_of(canvas);
}

// The hash of a picture that cannot be read: what has none is left out when it is decoded.
constexpr const char* kUnreadable = "unreadable";

// Adds the hashes of those pictures that have none yet.
void add_contents(const std::vector<data::Item>& items, const std::string& cache_dir,
                  bool keeps_hashes, std::vector<std::string>& contents_) {
  data::ContentHashes hashes(cache_dir + "/contents.json");
  for (size_t i = 0; i < items.size(); ++i) {
    if (!contents_[i].empty()) continue;
    try {
      contents_[i] = hashes.of(items[i]);
    } catch (const Error&) {
      contents_[i] = kUnreadable;
    }
  }
  if (keeps_hashes) {
    std::filesystem::create_directories(cache_dir);
    hashes.save();
  }
}

}  // namespace

TrainingData training_data(const train::TrainConfig& config, bool keeps_hashes,
                           const std::string& split) {
  data::Report report;
  std::vector<data::Item> all;
  std::vector<std::string> contents;
  for (const std::string& path : config.train_data_dir) {
    data::IndexedDataset opened =
        data::open_indexed(path, {config.cache_dir + "/index", keeps_hashes}, report);
    std::move(opened.items.begin(), opened.items.end(), std::back_inserter(all));
    std::move(opened.contents.begin(), opened.contents.end(), std::back_inserter(contents));
  }
  data::limit_sizes(config.native_size_histogram(), all);
  data::ItemFilter filter;
  filter.splits = {split};
  TrainingData data;
  data.pictures_in_all = static_cast<int64_t>(data::filtered(all, filter).size());
  filter.part = config.data_part;
  filter.min_side_px = static_cast<int>(config.min_image_size);
  data::filtered({}, filter);  // names a part that there is none of
  std::vector<data::Item> items;
  for (size_t i = 0; i < all.size(); ++i) {
    if (!data::passes(all[i], filter)) continue;
    items.push_back(std::move(all[i]));
    data.contents.push_back(std::move(contents[i]));
  }
  if (!report.is_clean()) std::fprintf(stderr, "data: %s\n", report.text().c_str());
  if (items.empty()) {
    throw bad_input("train_data_dir", "at least one picture of part '" + config.data_part + "'",
                    "none", "`pangu-draw data stats FOLDER` counts what a folder holds");
  }
  add_contents(items, config.cache_dir, keeps_hashes, data.contents);
  data.index_hash = data::index_hash(items, data.contents);
  data.items = std::move(items);
  return data;
}

data::Item check_pictures(const TrainingData& data) {
  data::Report report;
  const std::vector<data::Item> whole = data::decodable(data.items, report);
  if (!report.is_clean()) std::fprintf(stderr, "data: %s\n", report.text().c_str());
  if (whole.empty()) throw bad_input("train_data_dir", "at least one readable picture", "none");
  return whole.front();
}

// Shared by the threads that read.
struct TrainingPictures::Broken {
  std::mutex mutex;
  std::set<uint32_t> pictures;

  bool has(uint32_t picture) {
    const std::lock_guard lock(mutex);
    return pictures.count(picture) > 0;
  }
  void add(uint32_t picture, const Error& why) {
    const std::lock_guard lock(mutex);
    if (!pictures.insert(picture).second || pictures.size() > data::Report::kNamesKept) return;
    std::fprintf(stderr, "data: left out, %s\n", why.what());
  }
};

TrainingPictures::TrainingPictures(const TrainingData& data, int64_t side_px)
    : data_(data), side_px_(side_px), broken_(std::make_shared<Broken>()) {}

train::PicturePool TrainingPictures::pool() const {
  train::PicturePool pool;
  for (size_t i = 0; i < data_.items.size(); ++i) {
    pool.shown.insert(pool.shown.end(), static_cast<size_t>(data_.items[i].repeats),
                      static_cast<uint32_t>(i));
  }
  pool.read = [&items = data_.items, side = static_cast<int>(side_px_),
               broken = broken_](uint32_t picture) {
    if (broken->has(picture)) return at::Tensor();
    try {
      return fit(data::load_image(items[picture]), side);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kBadInput) throw;
      broken->add(picture, error);
      return at::Tensor();
    }
  };
  return pool;
}

void TrainingPictures::say_broken() const {
  const std::lock_guard lock(broken_->mutex);
  if (broken_->pictures.size() <= data::Report::kNamesKept) return;
  std::fprintf(stderr, "data: %zu of the pictures that were read are broken and left out\n",
               broken_->pictures.size());
}

}  // namespace pangu::app
