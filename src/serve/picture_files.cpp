#include "serve/picture_files.h"

#include <system_error>
#include <utility>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"

namespace pangu::serve {
namespace {

namespace fs = std::filesystem;

constexpr size_t kFolderDigits = 2;

}  // namespace

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
