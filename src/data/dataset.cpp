// Datasets and their pictures. What a folder and an archive hold is listed in indexed_dataset.cpp,
// picture_folder.cpp and shard.cpp, pixels are image's.
#include "data/dataset.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>

#include "core/error.h"
#include "data/indexed_dataset.h"
#include "image/resize.h"
#include "io/http_file.h"

namespace pangu::data {
std::vector<Item> open_dataset(const std::string& path, Report& report_) {
  return open_indexed(path, {}, report_).items;
}

bool passes(const Item& item, const ItemFilter& filter) {
  const bool split = filter.splits.empty() || std::find(filter.splits.begin(), filter.splits.end(),
                                                        item.split) != filter.splits.end();
  return split && (filter.part == "all" || filter.part == item.part) &&
         std::min(item.width, item.height) >= filter.min_side_px;
}

std::vector<Item> filtered(const std::vector<Item>& items, const ItemFilter& filter) {
  if (filter.part != "all" && filter.part != "high" && filter.part != "low") {
    throw bad_input("part of the data", "all, high or low", "'" + filter.part + "'");
  }
  std::vector<Item> kept;
  std::copy_if(items.begin(), items.end(), std::back_inserter(kept),
               [&](const Item& item) { return passes(item, filter); });
  return kept;
}

image::Bytes read_bytes(const Item& item) {
  if (io::is_url(item.bytes.path)) {
    image::Bytes far(item.bytes.size_bytes);
    io::http_read(item.bytes.path, item.bytes.offset, std::as_writable_bytes(std::span(far)));
    return far;
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(item.bytes.path.c_str(), "rb"), &std::fclose);
  if (!file) throw io_error("cannot open", item.bytes.path, errno);
  uint64_t size = item.bytes.size_bytes;
  if (size == 0) {
    std::error_code failure;
    size = std::filesystem::file_size(item.bytes.path, failure);
    if (failure) throw io_error("cannot stat", item.bytes.path, failure.value());
  }
  image::Bytes bytes(size);
  if (fseeko(file.get(), static_cast<off_t>(item.bytes.offset), SEEK_SET) != 0 ||
      std::fread(bytes.data(), 1, size, file.get()) != size) {
    throw Error(ErrorCode::kIo, "cannot read '" + item.bytes.path +
                                    "': it is shorter than when the dataset was opened");
  }
  return bytes;
}

static image::Image decoded_as_stored(const Item& item) {
  image::Image picture = image::decode_image(read_bytes(item));
  const bool is_larger = std::min(picture.width, picture.height) > item.stored_px;
  if (item.stored_px == 0 || !is_larger) return picture;
  return image::resize(picture, item.width, item.height);
}

image::Image load_image(const Item& item) {
  try {
    return decoded_as_stored(item);
  } catch (const Error& error) {
    throw while_doing("loading picture '" + item.id + "'", error);
  }
}

std::optional<image::Image> try_load_image(const Item& item, Report& report_) {
  try {
    return decoded_as_stored(item);
  } catch (const Error& error) {
    // A server that does not answer says nothing of the picture.
    if (io::is_url(item.bytes.path) && error.code() != ErrorCode::kBadInput) throw;
    report_.skip(item.id, error.what());
    return std::nullopt;
  }
}

image::Image render_picture(const image::Image& picture, int width_px, int height_px,
                            image::Color background) {
  return picture.channels == 4 ? image::contain(picture, width_px, height_px, background)
                               : image::cover(picture, width_px, height_px);
}

image::Image render_item(const Item& item, int width_px, int height_px, image::Color background) {
  return render_picture(load_image(item), width_px, height_px, background);
}

image::Image render_item(const Item& item, int size_px, image::Color background) {
  return render_item(item, size_px, size_px, background);
}

std::vector<Item> decodable(const std::vector<Item>& items, Report& report_) {
  std::vector<Item> kept;
  report_.kept = 0;
  for (const Item& item : items) {
    if (try_load_image(item, report_)) {
      kept.push_back(item);
      ++report_.kept;
    }
  }
  return kept;
}

}  // namespace pangu::data
