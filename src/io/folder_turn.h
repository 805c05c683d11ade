// Turns of processes and threads at writing one folder, such as a model folder that two trainings
// put their halves into: a lock on the folder itself (flock), so that it ends with the process that
// holds it and leaves no file. Where a file system has no such locks (some network file systems)
// every turn is granted.
#pragma once
#include <string>

namespace pangu::io {

class FolderTurn {
 public:
  // Makes the folder if it is missing, and waits until nobody else has the turn. Error kIo.
  explicit FolderTurn(const std::string& folder);
  ~FolderTurn();
  FolderTurn(const FolderTurn&) = delete;
  FolderTurn& operator=(const FolderTurn&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace pangu::io
