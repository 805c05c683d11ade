// Atomic replacement of files by write, fsync and rename (POSIX). Not a lock: see the header.
#include "io/atomic_file.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>
#include <vector>

#include "core/error.h"

namespace pangu::io {
namespace {

// Linux moves at most 0x7ffff000 bytes a call; smaller pieces keep a kill responsive.
constexpr size_t kPieceBytes = size_t{64} << 20;

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

std::string temporary_name(const std::string& path, int attempt) {
  return path + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(attempt);
}

void sync_folder_of(const std::string& path) {
  const int folder = ::open(directory_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  (void)::fsync(folder);
  ::close(folder);
}

AtomicWriter::AtomicWriter(std::string path) : path_(std::move(path)) {
  // O_EXCL tells writers of one path in one process apart: each takes the first name that is free.
  for (int attempt = 0; attempt < 100 && fd_ < 0; ++attempt) {
    temporary_ = temporary_name(path_, attempt);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0 && errno != EEXIST) break;
  }
  if (fd_ < 0) {
    const int cause = errno;
    temporary_.clear();
    throw io_error("cannot create a file beside", path_, cause);
  }
}

AtomicWriter::~AtomicWriter() { discard(); }

void AtomicWriter::discard() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

void AtomicWriter::fail(const std::string& doing, int errno_value) {
  discard();
  Error error = io_error(doing, path_, errno_value);
  if (errno_value == ENOSPC || errno_value == EDQUOT) {
    throw Error(ErrorCode::kIo, std::string(error.what()) +
                                    ". Hint: free some space and run again; a file of that name "
                                    "from before is unchanged");
  }
  throw error;
}

void AtomicWriter::write(std::span<const std::byte> bytes) {
  if (fd_ < 0) throw Error(ErrorCode::kInternal, "write after the end of '" + path_ + "'");
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_, bytes.data(), std::min(bytes.size(), kPieceBytes));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("cannot write", errno);
    size_bytes_ += static_cast<size_t>(count);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void AtomicWriter::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicWriter::sync() {
  if (fd_ < 0) throw Error(ErrorCode::kInternal, "second commit of '" + path_ + "'");
  if (::fsync(fd_) != 0) fail("cannot sync", errno);
  // Network file systems report a full disk as late as here.
  if (::close(std::exchange(fd_, -1)) != 0 && errno != EINTR) fail("cannot close", errno);
}

void AtomicWriter::commit() {
  sync();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("cannot replace", errno);
  temporary_.clear();
  sync_folder_of(path_);
}

bool AtomicWriter::commit_new() {
  sync();
  int failed = 0;
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) == 0) {
    temporary_.clear();
  } else {
    failed = errno;
  }
  // Some file systems cannot do that, but give a file a second name; discard() takes the first.
  if (failed == EINVAL || failed == ENOSYS) {
    failed = ::link(temporary_.c_str(), path_.c_str()) == 0 ? 0 : errno;
  }
  if (failed != 0 && failed != EEXIST) fail("cannot create", failed);
  discard();
  if (failed == 0) sync_folder_of(path_);
  return failed == 0;
}

void remove_stale_temporaries(const std::string& path) {
  namespace fs = std::filesystem;
  const std::string begin = fs::path(path).filename().string() + ".tmp-";
  std::error_code ignored;  // a temporary that stays only takes room
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(directory_of(path), ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(begin)) continue;
    const long owner = std::strtol(name.c_str() + begin.size(), nullptr, 10);
    const bool gone = owner > 0 && ::kill(static_cast<pid_t>(owner), 0) != 0 && errno == ESRCH;
    if (gone) stale.push_back(entry.path());
  }
  for (const fs::path& file : stale) fs::remove(file, ignored);
}

void write_file_atomic(const std::string& path, std::span<const std::byte> bytes) {
  AtomicWriter writer(path);
  writer.write(bytes);
  writer.commit();
}

void write_file_atomic(const std::string& path, std::string_view text) {
  write_file_atomic(path, std::as_bytes(std::span(text)));
}

bool write_new_file_atomic(const std::string& path, std::span<const std::byte> bytes) {
  AtomicWriter writer(path);
  writer.write(bytes);
  return writer.commit_new();
}

}  // namespace pangu::io
