// A file that appears whole or not at all: bytes go to a temporary beside the target, which is
// synced to disk and renamed over it by commit(). Every writer of the project goes through here, so
// that a kill, a crash or a full disk leaves the previous file as it was.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace pangu::io {

// Not thread-safe; two writers of one path may run at once, the last commit wins.
class AtomicWriter {
 public:
  // Opens the temporary. Error kIo if the directory is missing or not writable.
  explicit AtomicWriter(std::string path);
  // Removes the temporary unless commit() came through.
  ~AtomicWriter();
  AtomicWriter(const AtomicWriter&) = delete;
  AtomicWriter& operator=(const AtomicWriter&) = delete;

  // Appends. Error kIo (disk full, quota, ...) removes the temporary; the old file stays.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);

  // fsync, rename over `path`, fsync of the directory. REQUIRES: called at most once, nothing
  // after.
  void commit();

  // The same, but only if there is no file of that name: else false, and the file that is there
  // stays. Of two writers at once one gets the name.
  bool commit_new();

  // Bytes written so far.
  size_t size_bytes() const { return size_bytes_; }

 private:
  void sync();
  [[noreturn]] void fail(const std::string& doing, int errno_value);
  void discard();

  std::string path_, temporary_;
  int fd_ = -1;
  size_t size_bytes_ = 0;
};

// The name of a temporary beside `path`, the attempt-th of this process, which
// remove_stale_temporaries() recognises.
std::string temporary_name(const std::string& path, int attempt);

// The folder that `path` lies in to the disk, so that a rename in it lasts. Where that is refused
// (some network file systems) names are whole all the same.
void sync_folder_of(const std::string& path);

// Removes what writers of `path` left beside it when their process was killed; those of processes
// that still run are left alone.
void remove_stale_temporaries(const std::string& path);

// The whole of `bytes` as the file `path`, atomically.
void write_file_atomic(const std::string& path, std::span<const std::byte> bytes);
void write_file_atomic(const std::string& path, std::string_view text);

// The same as a new file; false, and nothing written, if there is a file of that name.
bool write_new_file_atomic(const std::string& path, std::span<const std::byte> bytes);

}  // namespace pangu::io
