// Lets a caller follow long work, hear its warnings and stop it. One Watch is passed all the way
// down: through loading, encoding, every step and decoding. It is the one way by which a library
// warns: a problem that ends a request is an Error (error.h), one that does not is a warning.
#pragma once
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>

#include "core/progress.h"

namespace pangu {

// Thrown when work ends because its caller asked for that. It is no Error: nothing is wrong, and
// code that handles errors must not take it for one.
class Stopped : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Watch {
  // Called between pieces of work that take about a second at most, perhaps on several threads at
  // once; true stops the work. Empty: the work is never stopped.
  std::function<bool()> wants_stop = {};
  OnProgress on_progress = {};  // empty: nobody listens
  // Called with a warning about what was asked for: one sentence that names the thing as an Error
  // does, "prompt: the words behind 'x' were cut, ...". The same sentence may come often; the
  // program shows it once. Called on any thread, perhaps on several at once.
  std::function<void(const std::string& sentence)> on_warning = {};

  // Throws Stopped if wants_stop() is true.
  void check() const;
  // Calls on_progress, then check().
  void report(const Progress& progress) const;
  // Calls on_warning; the work goes on.
  void warn(const std::string& sentence) const;
  // Waits for the mutex as std::unique_lock does, and calls check() every 50 ms while it waits.
  std::unique_lock<std::timed_mutex> lock(std::timed_mutex& mutex) const;
};

}  // namespace pangu
