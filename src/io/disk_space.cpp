#include "io/disk_space.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "core/error.h"

namespace pangu::io {
namespace {

namespace fs = std::filesystem;

// The folder itself, or the nearest one above it that is there.
fs::path folder_that_is_there(const std::string& folder) {
  fs::path path = fs::absolute(folder).lexically_normal();
  std::error_code failed;
  while (path.has_relative_path() && !fs::exists(path, failed)) path = path.parent_path();
  return path;
}

std::string megabytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", double(bytes) / 1e6);
  return text;
}

}  // namespace

uint64_t free_bytes_for(const std::string& folder) {
  const fs::path where = folder_that_is_there(folder);
  if (!fs::is_directory(where)) throw io_error("cannot make", folder, ENOTDIR);
  if (access(where.c_str(), W_OK | X_OK) != 0)
    throw io_error("cannot write", where.string(), errno);
  std::error_code failed;
  const fs::space_info space = fs::space(where, failed);
  if (failed) throw io_error("cannot ask for the space of", where.string(), failed.value());
  return space.available;
}

void require_space(const std::string& folder, uint64_t bytes) {
  const uint64_t available = free_bytes_for(folder);
  if (available >= bytes) return;
  throw Error(ErrorCode::kIo, "disk of '" + folder + "': expected " + megabytes(bytes) +
                                  " to be free, found " + megabytes(available));
}

}  // namespace pangu::io
