#include "core/watch.h"

#include <chrono>

namespace pangu {

void Watch::check() const {
  if (wants_stop && wants_stop()) throw Stopped("stopped on request");
}

void Watch::report(const Progress& progress) const {
  if (on_progress) on_progress(progress);
  check();
}

void Watch::warn(const std::string& sentence) const {
  if (on_warning) on_warning(sentence);
}

std::unique_lock<std::timed_mutex> Watch::lock(std::timed_mutex& mutex) const {
  constexpr std::chrono::milliseconds kAskEvery{50};
  std::unique_lock<std::timed_mutex> held(mutex, std::defer_lock);
  while (!held.try_lock_for(kAskEvery)) check();
  return held;
}

}  // namespace pangu
