// Whoever waits for long work: hears how far it is, and may stop it. One value goes all the way
// down, through loading, encoding, every step and decoding.
#pragma once
#include <functional>
#include <mutex>
#include <stdexcept>

#include "core/progress.h"

namespace pangu {

// Work ended because whoever waited for it wants no more. Not an Error: nothing is wrong, and who
// handles errors must not take it for one. what() says how far the work came.
class Stopped : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Watch {
  // Asked between pieces of work that take about a second at most, perhaps on several threads at
  // once. Empty: the work is never stopped.
  std::function<bool()> wants_stop = {};
  OnProgress on_progress = {};  // empty: nobody listens

  // Throws Stopped if the work shall stop.
  void check() const;
  // Tells how far the work is, then as check().
  void report(const Progress& progress) const;
  // Waits for the mutex as std::unique_lock does, and goes on asking meanwhile.
  std::unique_lock<std::timed_mutex> lock(std::timed_mutex& mutex) const;
};

}  // namespace pangu
