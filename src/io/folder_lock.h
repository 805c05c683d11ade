// A folder of one process at a time, such as that of a server's data or of a training: a lock on
// the file `lock` in it (flock). It ends with the process that holds it, however that ends; the
// empty file stays.
#pragma once
#include <chrono>
#include <memory>
#include <string>

namespace pangu::io {

class FolderLock {
 public:
  // Makes the folder if it is missing. Returns null if somebody else has held it all of `patience`:
  // a process that was killed may take a moment to be gone. Where a file system has no such locks
  // (some network file systems) it is granted. Error kIo.
  static std::unique_ptr<FolderLock> taken(const std::string& folder,
                                           std::chrono::milliseconds patience = {});
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  explicit FolderLock(int file) : file_(file) {}
  int file_;
};

}  // namespace pangu::io
