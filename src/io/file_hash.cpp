#include "io/file_hash.h"

#include "core/hash.h"
#include "io/mapped_file.h"

namespace pangu::io {

std::string sha256_of_file(const std::string& path) { return sha256_of_files({path}); }

std::string sha256_of_files(const std::vector<std::string>& paths) {
  Sha256 hash;
  for (const std::string& path : paths) {
    const MappedFile file(path);
    hash.update(file.bytes());
  }
  return hex_of(hash.digest());
}

}  // namespace pangu::io
