#include "train/ahead.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>

namespace pangu::train {
namespace {

TEST_CASE("values are those of their keys, asked for or not, and failures come with their key") {
  std::atomic<int> made = 0;
  Ahead<int, int> ahead(
      [&](const int& key) {
        ++made;
        if (key == 7) throw std::runtime_error("seven");
        return key * key;
      },
      3);
  for (int round = 0; round < 20; ++round) {
    for (int key = 0; key < 10; ++key) ahead.ask(key);
    for (int key = 0; key < 12; ++key) {
      if (key == 7) {
        CHECK_THROWS_AS(ahead.take(key), std::runtime_error);
      } else {
        CHECK(ahead.take(key) == key * key);
      }
    }
  }
  CHECK(made == 20 * 12);
}

TEST_CASE("a value is made while its user does another thing") {
  std::atomic<bool> is_made = false;
  Ahead<int, int> ahead(
      [&](const int&) {
        is_made = true;
        return 1;
      },
      1);
  ahead.ask(3);
  for (int i = 0; i < 10000 && !is_made; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(is_made);
  CHECK(ahead.take(3) == 1);
}

TEST_CASE("what was forgotten is made when it is taken") {
  int made = 0;
  Ahead<int, int> ahead([&](const int& key) { return ++made, key; }, 0);
  for (int key = 0; key < 4; ++key) ahead.ask(key);
  ahead.forget([](int key) { return key < 3; });
  CHECK(ahead.take(1) == 1);
  CHECK(ahead.take(3) == 3);
  CHECK(made == 2);
}

}  // namespace
}  // namespace pangu::train
