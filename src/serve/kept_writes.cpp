#include "serve/kept_writes.h"

#include <utility>

#include "core/error.h"

namespace pangu::serve {
namespace {

constexpr std::chrono::milliseconds kBetweenTries{500};

}  // namespace

void KeptWrites::keep(std::function<void()> write) {
  if (writes_.empty()) {
    try {
      return write();
    } catch (const Error& error) {
      log_(std::string(error.what()) + "; it is tried again");
      next_try_ = clock_.steady() + kBetweenTries;
    }
  }
  writes_.push_back(std::move(write));
}

bool KeptWrites::retry() {
  if (writes_.empty() || clock_.steady() < next_try_) return false;
  next_try_ = clock_.steady() + kBetweenTries;
  try {
    while (!writes_.empty()) {
      writes_.front()();
      writes_.pop_front();
    }
  } catch (const Error&) {
    return false;  // it was logged when it failed first
  }
  log_("the store of jobs can be written again");
  return true;
}

}  // namespace pangu::serve
