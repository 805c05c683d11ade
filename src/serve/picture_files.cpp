#include "serve/picture_files.h"

#include <algorithm>
#include <span>
#include <system_error>

#include "core/error.h"
#include "core/hash.h"
#include "image/image.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"
#include "serve/http.h"

namespace pangu::serve {
namespace {

namespace fs = std::filesystem;

constexpr size_t kIdDigits = 64, kFolderDigits = 2;

std::string type_of(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG")) return "image/png";
  if (bytes.starts_with("\xff\xd8")) return "image/jpeg";
  return "image/webp";
}

}  // namespace

bool is_picture_id(std::string_view text) {
  return text.size() == kIdDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

StoredPicture picture_of_bytes(std::string_view bytes, const PictureLimits& limits, WallMs now) {
  const std::span<const uint8_t> data(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  const image::ImageInfo info =
      image::peek_image(data, {.max_side_px = limits.max_side_px, .max_pixels = int64_t{1} << 40});
  if (int64_t{info.width} * info.height > limits.max_pixels) {
    throw HttpError(413, "too_large",
                    "picture: expected at most " + std::to_string(limits.max_pixels) +
                        " pixels, found " + std::to_string(info.width) + "x" +
                        std::to_string(info.height));
  }
  return {sha256_hex(bytes),
          type_of(bytes),
          info.width,
          info.height,
          static_cast<int64_t>(bytes.size()),
          now,
          false};
}

PictureFiles::PictureFiles(fs::path folder) : folder_(std::move(folder)) {
  std::error_code failed;
  fs::create_directories(folder_, failed);
  if (failed) throw io_error("cannot make the folder", folder_.string(), failed.value());
}

std::string PictureFiles::path_of(const std::string& id) const {
  if (!is_picture_id(id)) throw Error(ErrorCode::kInternal, "a picture without an id");
  return (folder_ / id.substr(0, kFolderDigits) / id).string();
}

void PictureFiles::write(const StoredPicture& picture, std::string_view bytes) const {
  const std::string path = path_of(picture.id);
  std::error_code failed;
  if (fs::exists(path, failed)) return;
  fs::create_directories(fs::path(path).parent_path(), failed);
  if (failed) throw io_error("cannot make a folder for", path, failed.value());
  io::write_file_atomic(path, bytes);
}

std::string PictureFiles::read(const std::string& id) const {
  const io::MappedFile file(path_of(id));
  const auto bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool PictureFiles::has(const std::string& id) const {
  std::error_code failed;
  return fs::exists(path_of(id), failed);
}

void PictureFiles::remove(const std::string& id) const {
  std::error_code failed;
  fs::remove(path_of(id), failed);
}

void PictureFiles::remove_unknown(JobStore& store) const {
  std::error_code failed;
  for (const auto& folder : fs::directory_iterator(folder_, failed)) {
    for (const auto& entry : fs::directory_iterator(folder.path(), failed)) {
      const std::string name = entry.path().filename().string();
      const auto known = is_picture_id(name) ? store.find_picture(name) : std::nullopt;
      if (known && !known->removed) continue;
      fs::remove(entry.path(), failed);
    }
  }
}

}  // namespace pangu::serve
