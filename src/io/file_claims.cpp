#include "io/file_claims.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "core/error.h"

namespace pangu::io {

FileClaims::FileClaims(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) throw io_error("cannot open", path, errno);
}

FileClaims::~FileClaims() { ::close(fd_); }

bool FileClaims::lock(uint64_t number, short type, bool waits) {
  struct flock range{};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(number);
  range.l_len = 1;
  for (;;) {
    if (::fcntl(fd_, waits ? F_OFD_SETLKW : F_OFD_SETLK, &range) == 0) return true;
    if (!waits && (errno == EAGAIN || errno == EACCES)) return false;
    if (errno == EINVAL || errno == ENOLCK || errno == EOPNOTSUPP) return true;
    if (errno != EINTR) throw io_error("cannot lock", path_, errno);
  }
}

bool FileClaims::try_claim(uint64_t number) { return lock(number, F_WRLCK, false); }

void FileClaims::claim(uint64_t number) { lock(number, F_WRLCK, true); }

void FileClaims::release(uint64_t number) { lock(number, F_UNLCK, false); }

}  // namespace pangu::io
