// Where the bytes of pictures lie, named by their SHA-256. Who may see them is job_store.h's.
#pragma once
#include <memory>
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

// Ids are is_picture_id(). Errors: kIo (disk full, refused), StoreAway if a service cannot be
// reached for now.
class PictureStore {
 public:
  virtual ~PictureStore() = default;

  // Writes it, whole or not at all, unless it is there.
  virtual void write(const StoredPicture& picture, std::string_view bytes) const = 0;
  // Error kIo if it is not there.
  virtual std::string read(const std::string& id) const = 0;
  virtual bool has(const std::string& id) const = 0;
  // Does nothing if it is not there. A failure leaves it, which costs space only.
  virtual void remove(const std::string& id) const = 0;
  // A file of this machine with its bytes, which stays for the time of a job.
  virtual std::string path_of(const std::string& id) const = 0;
};

}  // namespace pangu::serve
