#include "app/warnings.h"

#include <algorithm>
#include <iostream>
#include <utility>

namespace pangu::app {

void Warnings::operator()(const std::string& sentence) {
  const std::lock_guard lock(mutex_);
  if (std::find(told_.begin(), told_.end(), sentence) != told_.end()) return;
  told_.push_back(sentence);
  if (before_) before_();
  std::cerr << "pangu-draw: warning: " + sentence + "\n";
}

void Warnings::before_printing(std::function<void()> action) {
  const std::lock_guard lock(mutex_);
  before_ = std::move(action);
}

std::vector<std::string> Warnings::all() const {
  const std::lock_guard lock(mutex_);
  return told_;
}

}  // namespace pangu::app
