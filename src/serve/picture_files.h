// Pictures as files named by the SHA-256 of their bytes, in folders named by its first two digits.
// Who may see them is job_store.h's.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "serve/job_store.h"

namespace pangu::serve {

// Whether a text is 64 lower-case hexadecimal digits: then it may be part of a file's name.
bool is_picture_id(std::string_view text);

struct PictureLimits {
  int64_t max_pixels = int64_t{1} << 24;
  int max_side_px = 16384;
};

// What the bytes of a picture are. HttpError 413 for more pixels than the limit; Error kBadInput if
// they are no PNG, JPEG or WebP.
StoredPicture picture_of_bytes(std::string_view bytes, const PictureLimits& limits, WallMs now);

class PictureFiles {
 public:
  // Makes the folder if need be. Error kIo.
  explicit PictureFiles(std::filesystem::path folder);

  // Writes it, whole or not at all, unless it is there. Error kIo (disk full).
  void write(const StoredPicture& picture, std::string_view bytes) const;
  // REQUIRES is_picture_id(id). Error kIo if it is not there.
  std::string read(const std::string& id) const;
  bool has(const std::string& id) const;
  void remove(const std::string& id) const;
  std::string path_of(const std::string& id) const;
  // Removes files that the store does not know: those that were written when a server died.
  void remove_unknown(JobStore& store) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace pangu::serve
