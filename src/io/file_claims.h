// Claims by which several processes divide numbered pieces of work among themselves: a claim is a
// lock on one byte of a file (Linux's open file description locks), so that it ends with the
// process that holds it, however that ends. Works on a file system that several machines share if
// it keeps POSIX locks; where a file system has no locks every claim is granted, so that work may
// be done twice.
#pragma once
#include <cstdint>
#include <string>

namespace pangu::io {

// Not thread-safe: threads that shall exclude each other have one each.
class FileClaims {
 public:
  // Makes the file if it is missing. Error kIo.
  explicit FileClaims(const std::string& path);
  ~FileClaims();
  FileClaims(const FileClaims&) = delete;
  FileClaims& operator=(const FileClaims&) = delete;

  // False if someone else has claimed piece `number`. REQUIRES: number < 2^62.
  bool try_claim(uint64_t number);
  // Waits until nobody else claims it, then does.
  void claim(uint64_t number);
  void release(uint64_t number);

 private:
  bool lock(uint64_t number, short type, bool waits);

  std::string path_;
  int fd_ = -1;
};

}  // namespace pangu::io
