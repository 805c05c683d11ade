#include "io/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <thread>

#include "core/error.h"

namespace pangu::io {
namespace {

constexpr std::chrono::milliseconds kBetweenTries{50};

}  // namespace

std::unique_ptr<FolderLock> FolderLock::taken(const std::string& folder,
                                              std::chrono::milliseconds patience) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) throw io_error("cannot make the folder", folder, failed.value());
  const std::string path = folder + "/lock";
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) throw io_error("cannot write", path, errno);
  std::unique_ptr<FolderLock> lock(new FolderLock(file));
  const auto until = std::chrono::steady_clock::now() + patience;
  while (::flock(file, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return lock;
    if (std::chrono::steady_clock::now() >= until) return nullptr;
    std::this_thread::sleep_for(kBetweenTries);
  }
  lock->holds_ = true;
  return lock;
}

FolderLock::~FolderLock() { ::close(file_); }

}  // namespace pangu::io
