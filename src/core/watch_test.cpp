#include "core/watch.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace pangu {
namespace {

TEST_CASE("Work that is watched by nobody is never stopped") {
  const Watch nobody;
  CHECK_NOTHROW(nobody.check());
  CHECK_NOTHROW(nobody.report({.done = 1, .total = 2, .text = ""}));
  CHECK_NOTHROW(nobody.warn("prompt: it was cut"));
}

TEST_CASE("Work that shall stop ends after it said how far it is") {
  int64_t received = 0;
  bool stops = false;
  const Watch watch{[&] { return stops; }, [&](const Progress& p) { received = p.done; }};
  CHECK_NOTHROW(watch.report({.done = 1, .total = 2, .text = ""}));
  stops = true;
  CHECK_THROWS_AS(watch.report({.done = 2, .total = 2, .text = ""}), Stopped);
  CHECK(received == 2);
}

TEST_CASE("A warning reaches who watches, and the work goes on") {
  std::vector<std::string> received;
  const Watch watch{
      .on_warning = [&](const std::string& sentence) { received.push_back(sentence); }};
  CHECK_NOTHROW(watch.warn("prompt: it was cut"));
  CHECK(received == std::vector<std::string>{"prompt: it was cut"});
}

TEST_CASE("Who waits for another's work can stop waiting") {
  std::timed_mutex mutex;
  std::atomic<bool> stops = false, stopped = false;
  const Watch watch{[&] { return stops.load(); }};
  {
    CHECK(watch.lock(mutex).owns_lock());
  }
  const std::lock_guard busy(mutex);
  std::thread waiting([&] {
    try {
      watch.lock(mutex);
    } catch (const Stopped&) {
      stopped = true;
    }
  });
  stops = true;
  waiting.join();
  CHECK(stopped);
}

}  // namespace
}  // namespace pangu
