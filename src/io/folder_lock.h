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
  // a process that was killed may take a moment to be gone. Error kIo.
  static std::unique_ptr<FolderLock> taken(const std::string& folder,
                                           std::chrono::milliseconds patience = {});
  ~FolderLock();
  // False where the file system has no such locks (some network file systems): nobody is kept out.
  bool keeps_others_out() const { return holds_; }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  explicit FolderLock(int file) : file_(file) {}
  int file_;
  bool holds_ = false;
};

}  // namespace pangu::io
