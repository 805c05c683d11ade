// Packing of datasets into shards. The archive format is data/tar.h's.
#include "data/pack.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "core/error.h"
#include "data/dataset.h"
#include "data/tar.h"
#include "image/resize.h"

namespace pangu::data {
namespace {

namespace fs = std::filesystem;

struct Packed {
  std::string extension;
  image::Bytes bytes;
  int width, height;
};

const char* extension_of(const image::Bytes& bytes) {
  // load_image accepted them: the first byte tells the three formats apart.
  return bytes[0] == 0x89 ? "png" : bytes[0] == 0xFF ? "jpg" : "webp";
}

Packed packed_picture(const Item& item, const PackOptions& options) {
  image::Bytes bytes = read_bytes(item);
  image::Image picture = image::decode_image(bytes);  // a damaged picture must not be passed on
  const int side = std::min(picture.width, picture.height);
  const bool shrink = options.max_side_px > 0 && side > options.max_side_px;
  if (shrink) {
    const double factor = static_cast<double>(options.max_side_px) / side;
    picture = image::resize(picture, std::max(1, static_cast<int>(picture.width * factor + 0.5)),
                            std::max(1, static_cast<int>(picture.height * factor + 0.5)));
  }
  if (!shrink && !options.encode) {
    return {extension_of(bytes), std::move(bytes), picture.width, picture.height};
  }
  return {"webp", image::encode_webp(picture, options.encode.value_or(image::WebpOptions{})),
          picture.width, picture.height};
}

std::string numbered(const char* format, size_t number) {
  char text[32];
  std::snprintf(text, sizeof text, format, number);
  return text;
}

std::string shard_path(const std::string& folder, size_t number) {
  return (fs::path(folder) / numbered("shard-%06zu.tar", number)).string();
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

size_t padded(size_t size_bytes) { return 512 + (size_bytes + 511) / 512 * 512; }

}  // namespace

std::vector<std::string> pack_shards(const std::vector<Item>& items, const std::string& folder,
                                     const PackOptions& options, Report& report_,
                                     const OnProgress& on_progress) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw io_error("cannot create", folder, failure.value());
  std::vector<std::string> paths;
  std::unique_ptr<TarWriter> shard;
  report_.kept = 0;
  Progress progress;
  progress.total = static_cast<int64_t>(items.size());
  progress.unit = "pictures";
  for (size_t i = 0; i < items.size(); ++i) {
    Packed picture;
    try {
      picture = packed_picture(items[i], options);
    } catch (const Error& error) {
      report_.skip(items[i].id, error.what());
      continue;
    }
    const std::string name = numbered("%08zu.", i);
    Item described = items[i];
    described.width = picture.width;
    described.height = picture.height;
    const std::string json = manifest_line(described, name + picture.extension);
    std::string captions;
    for (const std::string& caption : captions_of(items[i], "all")) captions += caption + "\n";

    const size_t grown =
        padded(json.size()) + padded(captions.size()) + padded(picture.bytes.size());
    if (shard && shard->size_bytes() + grown + 1024 > options.shard_bytes) {
      shard->commit();
      shard.reset();
    }
    if (!shard) {
      paths.push_back(shard_path(folder, paths.size()));
      shard = std::make_unique<TarWriter>(paths.back());
    }
    shard->add(name + "json", bytes_of(json));
    shard->add(name + "txt", bytes_of(captions));
    shard->add(name + picture.extension, std::as_bytes(std::span(picture.bytes)));
    ++report_.kept;
    progress.done = static_cast<int64_t>(i) + 1;
    if (on_progress) on_progress(progress);
  }
  if (shard) shard->commit();
  // A smaller set must leave no stale shard behind.
  for (size_t number = paths.size(); fs::remove(shard_path(folder, number), failure); ++number) {
  }
  return paths;
}

}  // namespace pangu::data
