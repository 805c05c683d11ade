#include "pipeline/families/expert_pool.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "pipeline/families/networks.h"

namespace pangu::pipeline {
namespace {

using namespace std::chrono_literals;

// Two experts that count how often each is loaded, and how many were in memory at most.
struct Counted {
  std::atomic<int> loads[2] = {0, 0};
  std::atomic<int> in_memory = 0, most = 0;
  ExpertPool pool;

  explicit Counted(size_t room) : pool(room, {maker(0), maker(1)}) {}

  ExpertPool::Maker maker(int expert) {
    return [this, expert](const Watch&) {
      ++loads[expert];
      most = std::max(most.load(), ++in_memory);
      return std::shared_ptr<const LoadedDenoiser>(new LoadedDenoiser,
                                                   [this](const LoadedDenoiser* gone) {
                                                     delete gone;
                                                     --in_memory;
                                                   });
    };
  }
};

TEST_CASE("Two drawings with one expert in memory load each expert once, not at every step") {
  Counted counted(1);
  // As a drawing does: an expert is held for its stage, and let go before the next is asked for.
  const auto drawing = [&](int steps) {
    ExpertPool::Hold hold;
    for (const size_t expert : {0, 1}) {
      hold.reset();
      hold = counted.pool.hold(expert, {});
      for (int step = 0; step < steps; ++step) std::this_thread::sleep_for(2ms);
    }
  };
  std::thread first(drawing, 10), second(drawing, 25);
  first.join();
  second.join();
  // The second may also have begun after the first was through its first stage; then each took its
  // turn. What may not be is a load at every one of the 35 steps.
  CHECK(counted.loads[0] + counted.loads[1] <= 4);
  CHECK(counted.most == 1);
}

TEST_CASE("An expert that is held is never taken away, and who wants another one waits") {
  Counted counted(1);
  ExpertPool::Hold mine = counted.pool.hold(0, {});
  CHECK(counted.pool.hold(0, {}) == mine);
  CHECK(counted.pool.hold_at_once(1, {}) == nullptr);
  std::atomic<bool> got = false;
  std::thread other([&] {
    const auto hold = counted.pool.hold(1, {});
    got = true;
  });
  std::this_thread::sleep_for(30ms);
  CHECK_FALSE(got);
  // In the order of asking: another drawing does not keep the first expert for ever.
  CHECK(counted.pool.hold_at_once(0, {}) == nullptr);
  // Whoever holds an expert can use it meanwhile.
  CHECK(counted.pool.use(0, {}) == mine);
  mine.reset();
  other.join();
  CHECK(got);
  CHECK(counted.loads[0] == 1);
  CHECK(counted.loads[1] == 1);
}

TEST_CASE("With room for all, every expert stays in memory; with less, the longest idle one goes") {
  Counted all(0);
  for (const size_t expert : {0, 1, 0, 1}) all.pool.hold(expert, {});
  CHECK(all.loads[0] + all.loads[1] == 2);
  Counted one(1);
  for (const size_t expert : {0, 1, 0, 1}) one.pool.hold(expert, {});
  CHECK(one.loads[0] + one.loads[1] == 4);
  CHECK(one.most == 1);
}

TEST_CASE("Experts are let go of, except one that is held, and come again when they are wanted") {
  Counted counted(0);
  counted.pool.hold(0, {});
  ExpertPool::Hold mine = counted.pool.hold(1, {});
  counted.pool.release();
  CHECK(counted.in_memory == 1);
  CHECK(counted.pool.use(1, {}) == mine);
  counted.pool.hold(0, {});
  CHECK(counted.loads[0] == 2);
  CHECK(counted.loads[1] == 1);
}

TEST_CASE("Who waits for room can be stopped, and nobody else waits for it any more") {
  Counted counted(1);
  const ExpertPool::Hold mine = counted.pool.hold(0, {});
  std::atomic<bool> stops = false;
  std::thread other([&] {
    const Watch watch{[&] { return stops.load(); }};
    CHECK_THROWS_AS(counted.pool.hold(1, watch), Stopped);
  });
  std::this_thread::sleep_for(10ms);
  stops = true;
  other.join();
  CHECK(counted.pool.hold_at_once(0, {}) == mine);
  CHECK(counted.loads[1] == 0);
}

}  // namespace
}  // namespace pangu::pipeline
