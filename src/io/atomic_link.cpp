#include "io/atomic_link.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "core/error.h"
#include "io/atomic_file.h"

namespace pangu::io {
namespace {

namespace fs = std::filesystem;

// Returns the link's name.
std::string temporary_link(const std::string& path, const std::string& target) {
  int cause = 0;
  for (int attempt = 0; attempt < 100; ++attempt) {
    const std::string name = temporary_name(path, attempt);
    if (::symlink(target.c_str(), name.c_str()) == 0) return name;
    cause = errno;
    if (cause != EEXIST) break;
  }
  const Error error = io_error("cannot make a symbolic link beside", path, cause);
  throw Error(ErrorCode::kIo, std::string(error.what()) +
                                  ". Hint: the folder must be writable, on a file system that has "
                                  "symbolic links (FAT has none)");
}

}  // namespace

void replace_link(const std::string& path, const std::string& target) {
  sync_folder_of(path);
  const std::string temporary = temporary_link(path, target);
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int cause = errno;
    ::unlink(temporary.c_str());
    throw io_error("cannot replace", path, cause);
  }
  sync_folder_of(path);
}

void require_links(const std::string& path) { ::unlink(temporary_link(path, "none").c_str()); }

void link_folder(const std::string& path, const std::string& target) {
  std::error_code failure;
  if (fs::symlink_status(path, failure).type() != fs::file_type::directory) return;
  const std::string moved = (fs::path(path).parent_path() / target).string();
  // The two names change places: the link then leads to where the folder has come.
  if (::symlink(target.c_str(), moved.c_str()) != 0) {
    throw io_error("cannot make the symbolic link", moved, errno);
  }
  if (::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, moved.c_str(), RENAME_EXCHANGE) != 0) {
    ::unlink(moved.c_str());
    if (::rename(path.c_str(), moved.c_str()) != 0) throw io_error("cannot rename", path, errno);
    if (::symlink(target.c_str(), path.c_str()) != 0) {
      throw io_error("cannot make the symbolic link", path, errno);
    }
  }
  sync_folder_of(path);
}

}  // namespace pangu::io
