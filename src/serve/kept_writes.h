// Changes of the store that must not be lost: done at once, or, while the store cannot be written
// (locked by another process, disk full), later and in their order.
#pragma once
#include <deque>
#include <functional>
#include <string>

#include "serve/times.h"

namespace pangu::serve {

class KeptWrites {
 public:
  KeptWrites(Clock clock, std::function<void(const std::string&)> log)
      : clock_(std::move(clock)), log_(std::move(log)) {}

  // `write` throws Error if the store cannot be written, and is then called again.
  void keep(std::function<void()> write);
  // To be called often; tries twice a second. True: what was kept has been written just now.
  bool retry();
  bool is_empty() const { return writes_.empty(); }

 private:
  Clock clock_;
  std::function<void(const std::string&)> log_;
  std::deque<std::function<void()>> writes_;
  SteadyTime next_try_;
};

}  // namespace pangu::serve
