#include "io/folder_turn.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "core/error.h"

namespace pangu::io {

FolderTurn::FolderTurn(const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) throw io_error("cannot make", folder, failed.value());
  fd_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd_ < 0) throw io_error("cannot open", folder, errno);
  while (::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
  }
}

FolderTurn::~FolderTurn() { ::close(fd_); }

}  // namespace pangu::io
