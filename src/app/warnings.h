// Warnings on their way from a library's Watch to a person: a line on stderr, once each.
#pragma once
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace pangu::app {

// Prints "pangu-draw: warning: SENTENCE", and remembers it. May be told from several threads.
class Warnings {
 public:
  void operator()(const std::string& sentence);
  // Called before a line is printed, such as to end the line of a progress bar; empty: nothing.
  void before_printing(std::function<void()> action);
  // All of them, in the order in which they came first; for --json.
  std::vector<std::string> all() const;

 private:
  mutable std::mutex mutex_;
  std::function<void()> before_;
  std::vector<std::string> told_;
};

}  // namespace pangu::app
