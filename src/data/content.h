// What a dataset holds, as hashes: the bytes of each picture, and the whole list of items as a
// training sees it. A cache made of a picture is looked up by the first, so that a picture that was
// replaced is not taken for the old one; a run goes on only with the second one unchanged.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "data/manifest.h"

namespace pangu::data {

// SHA-256 of pictures' bytes. They are kept in a JSON file together with the size and the time of
// the last change of the file that the picture lies in, and computed again when one of them
// differs.
class ContentHashes {
 public:
  // path: of the JSON file; nothing is known if it is absent or unreadable.
  explicit ContentHashes(std::string path);

  // 64 hexadecimal digits. Error kIo if the picture cannot be read. Of a picture on a web server it
  // is computed every time: the index of its shard knows it (data/shard_index.h).
  std::string of(const Item& item);

  // Writes the file, atomically, if a hash was computed since.
  void save();

 private:
  struct Entry {
    uint64_t file_bytes = 0;
    int64_t changed = 0;  // ticks of the file system's clock
    std::string sha256;
  };
  std::string path_;
  std::map<std::string, Entry> entries_;  // by path, offset and size
  bool added_ = false;
};

// SHA-256 of the items in their order: names, captions and all else that a manifest says of them,
// and `contents`, the hash of each one's bytes. The same wherever the dataset lies.
std::string index_hash(const std::vector<Item>& items, const std::vector<std::string>& contents);

}  // namespace pangu::data
