#include "io/folder_turn.h"

#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <thread>
#include <vector>

#include "core/testing.h"

using namespace pangu;
using pangu::io::FolderTurn;

TEST_CASE("one at a time has the turn at a folder, which is made, and nothing is left in it") {
  const TestFolder parent;
  const std::string folder = parent.file("a/b");
  std::atomic<int> inside = 0, most = 0, all = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 50; ++turn) {
        const FolderTurn mine(folder);
        most = std::max(most.load(), ++inside);
        std::this_thread::yield();
        --inside;
        ++all;
      }
    });
  }
  for (std::thread& one : threads) one.join();
  CHECK(all == 200);
  CHECK(most == 1);
  CHECK(std::filesystem::is_empty(folder));
}
