#include "io/folder_lock.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "core/error.h"
#include "core/testing.h"

using namespace pangu;
using pangu::io::FolderLock;

TEST_CASE("a folder is one's until it is given back, and is made") {
  const TestFolder parent;
  const std::string folder = parent.file("a/b");
  auto mine = FolderLock::taken(folder);
  REQUIRE(mine);
  CHECK(mine->keeps_others_out());
  CHECK_FALSE(FolderLock::taken(folder));
  CHECK(FolderLock::taken(parent.file("a")));  // another folder
  mine.reset();
  CHECK(FolderLock::taken(folder));
}

TEST_CASE("who has patience gets the folder when the other ends") {
  const TestFolder parent;
  auto mine = FolderLock::taken(parent.path.string());
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    mine.reset();
  });
  CHECK(FolderLock::taken(parent.path.string(), std::chrono::seconds(20)));
  other.join();
}

TEST_CASE("a file in the folder's place is an error") {
  const TestFolder parent;
  std::ofstream(parent.file("taken")) << "a file";
  CHECK_THROWS_AS(FolderLock::taken(parent.file("taken")), Error);
}
