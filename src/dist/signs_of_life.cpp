#include "dist/signs_of_life.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace pangu::dist {
namespace {

using SignClock = std::chrono::steady_clock;

constexpr int kSignsASilence = 8;
constexpr double kLongestInterval_s = 2;
constexpr std::chrono::seconds kLeaving(1);

std::string sign_key(int rank) { return "sign/" + std::to_string(rank); }

}  // namespace

struct SignsOfLife::Watch {
  c10::intrusive_ptr<c10d::Store> store;
  Place place;
  double silence_s = 0;

  mutable std::mutex mutex;
  std::condition_variable wake;
  bool quit = false, has_ended = false;
  SignClock::time_point heard_of_store;
  std::vector<SignClock::time_point> heard;  // of each rank: when its count was another
  std::vector<std::vector<uint8_t>> counts;

  void go() {
    const std::chrono::duration<double> interval(
        std::min(kLongestInterval_s, silence_s / kSignsASilence));
    std::vector<std::string> keys;
    for (int rank = 0; rank < place.size; ++rank) keys.push_back(sign_key(rank));
    for (uint64_t count = 1;; ++count) {
      // A store that fails is noticed by whoever asks lost(); here it is only asked again.
      try {
        const std::string text = std::to_string(count);
        store->set(keys[static_cast<size_t>(place.rank)],
                   std::vector<uint8_t>(text.begin(), text.end()));
        note(store->multiGet(keys));
      } catch (const std::exception&) {
      }
      std::unique_lock lock(mutex);
      if (wake.wait_for(lock, interval, [&] { return quit; })) return;
    }
  }

  void note(const std::vector<std::vector<uint8_t>>& now) {
    const std::lock_guard lock(mutex);
    heard_of_store = SignClock::now();
    for (size_t rank = 0; rank < now.size(); ++rank) {
      if (now[rank] == counts[rank]) continue;
      counts[rank] = now[rank];
      heard[rank] = heard_of_store;
    }
  }
};

SignsOfLife::SignsOfLife(c10::intrusive_ptr<c10d::Store> store, const Place& place,
                         double silence_s)
    : watch_(std::make_shared<Watch>()) {
  watch_->store = std::move(store);
  watch_->place = place;
  watch_->silence_s = silence_s;
  watch_->heard_of_store = SignClock::now();
  watch_->heard.assign(static_cast<size_t>(place.size), watch_->heard_of_store);
  watch_->counts.resize(static_cast<size_t>(place.size));
  // Detached: a call of a store that is gone may never come back.
  std::thread([watch = watch_] {
    watch->go();
    const std::lock_guard lock(watch->mutex);
    watch->has_ended = true;
    watch->wake.notify_all();
  }).detach();
}

SignsOfLife::~SignsOfLife() {
  std::unique_lock lock(watch_->mutex);
  watch_->quit = true;
  watch_->wake.notify_all();
  watch_->wake.wait_for(lock, kLeaving, [&] { return watch_->has_ended; });
}

std::string SignsOfLife::lost() const {
  const std::lock_guard lock(watch_->mutex);
  const auto was_silent = [&](SignClock::time_point from, SignClock::time_point to) {
    return std::chrono::duration<double>(to - from).count() > watch_->silence_s;
  };
  const Place& place = watch_->place;
  if (was_silent(watch_->heard_of_store, SignClock::now())) {
    return "the store at " + place.master_address + ":" + std::to_string(place.master_port) +
           " does not answer";
  }
  for (int rank = 0; rank < place.size; ++rank) {
    // Nothing is known of a process since the store's last answer.
    const auto heard = watch_->heard[static_cast<size_t>(rank)];
    if (rank == place.rank || !was_silent(heard, watch_->heard_of_store)) continue;
    return "process " + std::to_string(rank) + " of " + std::to_string(place.size) +
           " gives no sign of life";
  }
  return "";
}

}  // namespace pangu::dist
