// Recognising datasets, and their pictures. What a folder and an archive hold is listed in
// picture_folder.cpp and shard.cpp, pixels are image's.
#include "data/dataset.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "core/error.h"
#include "data/file_lines.h"
#include "data/file_names.h"
#include "data/folder_files.h"
#include "data/picture_folder.h"
#include "data/sample.h"
#include "data/shard.h"
#include "image/resize.h"
#include "io/mapped_file.h"

namespace pangu::data {
namespace {

namespace fs = std::filesystem;

void open_manifest(const fs::path& folder, std::vector<Item>& items_, Report& report_) {
  for_each_line((folder / "manifest.jsonl").string(), [&](int64_t number, std::string_view line) {
    keep_or_skip("manifest.jsonl:" + std::to_string(number), items_, report_, [&] {
      Item item = parse_manifest_line(line);
      item.bytes.path = (folder / item.bytes.path).string();
      read_header(io::MappedFile(item.bytes.path).bytes(), item);
      return item;
    });
  });
}

}  // namespace

std::vector<Item> open_dataset(const std::string& path, Report& report_) {
  std::vector<Item> items;
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored) && split_at_last_dot(path).suffix == "tar") {
    open_shard(path, items, report_);
  } else if (fs::is_directory(path, ignored)) {
    if (fs::exists(fs::path(path) / "manifest.jsonl", ignored)) {
      open_manifest(path, items, report_);
    } else {
      const std::vector<std::string> names = files_under(path, report_);
      for (const std::string& name : names) {
        if (split_at_last_dot(name).suffix != "tar") continue;
        try {
          open_shard((fs::path(path) / name).string(), items, report_);
        } catch (const Error& error) {
          report_.skip(name, error.what());
        }
      }
      open_picture_folder(path, names, items, report_);
    }
  } else {
    throw bad_input("dataset '" + path + "'", "a folder or a .tar",
                    fs::exists(path, ignored) ? "another file" : "nothing");
  }
  if (items.empty()) {
    const Error error =
        bad_input("dataset '" + path + "'", "at least one picture with a caption", "none",
                  "put pictures with captions beside them (NAME.txt), metadata.jsonl, WebDataset "
                  ".tar shards or manifest.jsonl in it");
    throw with_details(error, report_);
  }
  return items;
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
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(item.bytes.path.c_str(), "rb"), &std::fclose);
  if (!file) throw io_error("cannot open", item.bytes.path, errno);
  uint64_t size = item.bytes.size_bytes;
  if (size == 0) {
    std::error_code failure;
    size = fs::file_size(item.bytes.path, failure);
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

image::Image load_image(const Item& item) {
  try {
    const image::Image picture = image::decode_image(read_bytes(item));
    const bool is_larger = std::min(picture.width, picture.height) > item.stored_px;
    if (item.stored_px == 0 || !is_larger) return picture;
    return image::resize(picture, item.width, item.height);
  } catch (const Error& error) {
    throw while_doing("loading picture '" + item.id + "'", error);
  }
}

std::optional<image::Image> try_load_image(const Item& item, Report& report_) {
  try {
    return image::decode_image(read_bytes(item));
  } catch (const Error& error) {
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
