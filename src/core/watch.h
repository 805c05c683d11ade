// Whoever waits for long work: hears how far it is and what is odd about it, and may stop it. One
// value goes all the way down, through loading, encoding, every step and decoding. It is the one
// way by which a library warns: what ends a request is an Error (error.h), what does not is warned
// of here.
#pragma once
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>

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
  // Told what a person should know of what was asked, in one sentence that names the thing as an
  // Error does: "prompt: the words behind 'x' were cut, ...". The same sentence may come often;
  // who shows it, shows it once. Called on any thread, perhaps on several at once.
  std::function<void(const std::string& sentence)> on_warning = {};

  // Throws Stopped if the work shall stop.
  void check() const;
  // Tells how far the work is, then as check().
  void report(const Progress& progress) const;
  // Tells what is odd; the work goes on.
  void warn(const std::string& sentence) const;
  // Waits for the mutex as std::unique_lock does, and goes on asking meanwhile.
  std::unique_lock<std::timed_mutex> lock(std::timed_mutex& mutex) const;
};

}  // namespace pangu
