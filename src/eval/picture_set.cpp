#include "eval/picture_set.h"

#include <filesystem>

#include "core/error.h"
#include "core/hash.h"
#include "data/file_names.h"
#include "data/folder_files.h"
#include "image/resize.h"

namespace pangu::eval {

namespace fs = std::filesystem;

PictureSet picture_set(const std::string& folder) {
  if (!fs::is_directory(folder))
    throw bad_input("'" + folder + "'", "a folder of pictures", "none");
  data::Report report;
  PictureSet set{folder, {}, ""};
  Sha256 hash;
  for (std::string& name : data::files_under(folder, report)) {
    if (data::is_hidden(name) || !data::is_picture_suffix(data::split_at_last_dot(name).suffix))
      continue;
    hash.update(name).update("\n");
    set.names.push_back(std::move(name));
  }
  if (set.names.empty()) {
    throw bad_input("folder '" + folder + "'", "PNG, JPEG or WebP files", "none");
  }
  set.hash = hex_of(hash.digest());
  return set;
}

image::Image picture_of(const PictureSet& set, int64_t index, int size_px) {
  const std::string path =
      (fs::path(set.folder) / set.names.at(static_cast<size_t>(index))).string();
  image::Image picture = image::read_image(path);
  if (size_px == 0) return picture;
  return image::cover(picture, size_px, size_px, image::Filter::kBicubic);
}

PictureRange shard_of(int64_t total, int index, int count) {
  return {total * index / count, total * (index + 1) / count};
}

}  // namespace pangu::eval
