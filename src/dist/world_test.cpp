#include "dist/world.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <torch/types.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <string>
#include <vector>

#include "core/error.h"
#include "dist/testing.h"

using namespace pangu;
using dist::Pending;
using dist::Place;
using dist::World;

namespace {

Place place_of(int rank, int size, int port) {
  Place place;
  place.rank = place.local_rank = rank;
  place.size = place.local_size = size;
  place.master_port = port;
  return place;
}

// Runs `work` as so many processes would, in threads of this one; rethrows the first error.
template <class Work>
void with_worlds(int size, const Work& work) {
  const int port = dist::unused_port();
  std::vector<std::future<void>> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.push_back(std::async(std::launch::async, [&, rank] {
      World world(place_of(rank, size, port), {});
      work(world);
    }));
  }
  for (auto& thread : threads) thread.wait();
  for (auto& thread : threads) thread.get();
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A process that joins, answers one call and then only lives (or stands still) until it is killed.
pid_t start_silent_process(int port) {
  const pid_t child = fork();
  if (child != 0) return child;
  World world(place_of(1, 2, port), {});
  world.barrier();
  for (;;) pause();
}

std::string error_of_waiting_for(int signal, double silence_s, double* seconds) {
  const int port = dist::unused_port();
  const pid_t child = start_silent_process(port);
  World world(place_of(0, 2, port), {.silence_s = silence_s});
  world.barrier();
  kill(child, signal);
  const auto start = std::chrono::steady_clock::now();
  std::string message;
  try {
    world.barrier();
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kIo);
    message = error.what();
  }
  *seconds = seconds_since(start);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return message;
}

bool says(const std::string& text, const char* part) { return text.find(part) != text.npos; }

}  // namespace

// First, while this process has one thread: a child has no other.
TEST_CASE("waiting for a process that was killed ends with an error at once") {
  double seconds = 0;
  const std::string message = error_of_waiting_for(SIGKILL, 25, &seconds);
  CHECK(says(message, "process 0 of 2 has lost the others"));
  CHECK(seconds < 5);
}

TEST_CASE("waiting for a process that stands still ends after the time that is allowed") {
  double seconds = 0;
  const std::string message = error_of_waiting_for(SIGSTOP, 2, &seconds);
  CHECK(says(message, "process 1 of 2 gives no sign of life"));
  CHECK(seconds < 10);
}

TEST_CASE("a process alone is a world of its own") {
  World world;
  const at::Tensor x = at::arange(6, at::kFloat), piece = at::zeros(6);
  world.all_reduce_(x).wait();
  world.reduce_scatter(x, piece).wait();
  world.broadcast_(x, 0).wait();
  CHECK(at::equal(piece, at::arange(6, at::kFloat)));
  CHECK(world.is_alone());
  CHECK((world.sums({2, 3}) == std::vector<double>{2, 3}));
  CHECK(world.bytes_sent() == 0);
}

TEST_CASE("sums, pieces and copies are those of all processes") {
  for (const int size : {2, 4}) {
    CAPTURE(size);
    with_worlds(size, [&](World& world) {
      const int64_t n = 5, all = n * size;
      const at::Tensor mine = at::arange(all, at::kFloat) * (world.rank() + 1);
      const at::Tensor sum = at::arange(all, at::kFloat) * (size * (size + 1) / 2);

      const at::Tensor reduced = mine.clone();
      world.all_reduce_(reduced).wait();
      CHECK(at::equal(reduced, sum));

      const at::Tensor piece = at::empty(n);
      world.reduce_scatter(mine, piece).wait();
      CHECK(at::equal(piece, sum.slice(0, n * world.rank(), n * (world.rank() + 1))));

      const at::Tensor gathered = at::empty(all);
      world.all_gather(piece, gathered).wait();
      CHECK(at::equal(gathered, sum));

      const at::Tensor half = at::full({3}, world.rank(), at::kBFloat16);
      const at::Tensor halves = at::empty(3 * size, at::kBFloat16);
      world.all_gather(half, halves).wait();
      CHECK(halves[3 * size - 1].item<double>() == size - 1);

      const at::Tensor copy = mine.clone();
      world.broadcast_(copy, size - 1).wait();
      CHECK(at::equal(copy, at::arange(all, at::kFloat) * size));

      CHECK(world.of_first({world.rank() + 7.0}) == std::vector<double>{7});
      CHECK(world.any(world.rank() == size - 1));
      CHECK_FALSE(world.any(false));
    });
  }
}

TEST_CASE("calls that overlap are answered each by its own") {
  with_worlds(3, [](World& world) {
    std::vector<at::Tensor> sums;
    std::vector<Pending> pending;
    for (int i = 0; i < 20; ++i) {
      sums.push_back(at::full({1000 + i}, i + world.rank(), at::kFloat));
      pending.push_back(world.all_reduce_(sums.back()));
    }
    for (Pending& one : pending) one.wait();
    for (int i = 0; i < 20; ++i) CHECK(at::equal(sums[i], at::full({1000 + i}, 3.0f * i + 3)));
  });
}

TEST_CASE("sums have the same bits in every process and every time") {
  at::Tensor before;
  for (int time = 0; time < 2; ++time) {
    with_worlds(4, [&](World& world) {
      at::Tensor x = at::empty(10007);
      for (int64_t i = 0; i < x.numel(); ++i) {
        x.data_ptr<float>()[i] = 1.0f / float(1 + i + 31 * world.rank());
      }
      world.all_reduce_(x).wait();
      const at::Tensor first = x.clone();
      world.broadcast_(first, 0).wait();
      CHECK(at::equal(first, x));
      if (world.is_first()) {
        if (before.defined()) CHECK(at::equal(before, x));
        before = x;
      }
    });
  }
}

TEST_CASE("the bytes that are sent are counted by the formulas of rings") {
  with_worlds(4, [](World& world) {
    const at::Tensor all = at::zeros(400), piece = at::zeros(100);
    world.all_reduce_(all).wait();
    CHECK(world.bytes_sent() == 2 * 1600 * 3 / 4);
    world.reduce_scatter(all, piece).wait();
    world.all_gather(piece, all).wait();
    CHECK(world.bytes_sent() == 4 * 1600 * 3 / 4);
  });
}

TEST_CASE("processes that do not come are named") {
  try {
    World world(place_of(0, 3, dist::unused_port()), {.join_s = 1});
    FAIL("there were no others");
  } catch (const Error& error) {
    CHECK(says(error.what(), "processes that have not come: 1, 2"));
  }
}

TEST_CASE("a store that nobody keeps is named") {
  const int port = dist::unused_port();
  try {
    World world(place_of(1, 2, port), {.join_s = 1});
    FAIL("there was no store");
  } catch (const Error& error) {
    CHECK(says(error.what(), ("127.0.0.1:" + std::to_string(port)).c_str()));
  }
}

TEST_CASE("tensors on a GPU are refused where there is no NCCL") {
  CHECK_THROWS_AS(World(place_of(0, 2, 1), {.device = "cuda"}), Error);
}
