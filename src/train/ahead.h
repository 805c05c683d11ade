// Values that are made before they are asked for, by threads of their own, so that reading and
// decoding go on beside what uses them. What is made does not depend on who makes it or when.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace pangu::train {

// Key: ordered and copied. Safe to use from several threads.
template <class Key, class Value>
class Ahead {
 public:
  // make: a function of the key alone; called from `threads` threads, and from take().
  Ahead(std::function<Value(const Key&)> make, int threads, std::function<void()> at_start = {})
      : make_(std::move(make)), at_start_(std::move(at_start)) {
    for (int i = 0; i < threads; ++i) makers_.emplace_back([this] { work(); });
  }
  ~Ahead() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    wake_.notify_all();
    for (std::thread& maker : makers_) maker.join();
  }
  Ahead(const Ahead&) = delete;
  Ahead& operator=(const Ahead&) = delete;

  // Lets the value be made, if it is not yet asked for.
  void ask(const Key& key) {
    {
      const std::lock_guard lock(mutex_);
      if (!slots_.try_emplace(key).second) return;
    }
    wake_.notify_one();
  }

  // The value, which is made here if nobody has begun it, and waited for if somebody has. It is not
  // kept. Rethrows what `make` threw. REQUIRES: no two threads take one key at once.
  Value take(const Key& key) {
    std::unique_lock lock(mutex_);
    auto found = slots_.find(key);
    if (found == slots_.end() || found->second.state == State::kAsked) {
      if (found != slots_.end()) slots_.erase(found);
      lock.unlock();
      return make_(key);
    }
    done_.wait(lock, [&] { return found->second.state == State::kMade; });
    Slot slot = std::move(found->second);
    slots_.erase(found);
    lock.unlock();
    if (slot.failure) std::rethrow_exception(slot.failure);
    return std::move(slot.value);
  }

  // Forgets what was asked for and is not begun or not taken, where `is_stale` says so.
  template <class IsStale>
  void forget(const IsStale& is_stale) {
    const std::lock_guard lock(mutex_);
    std::erase_if(slots_, [&](const auto& slot) {
      return slot.second.state != State::kBegun && is_stale(slot.first);
    });
  }

 private:
  enum class State { kAsked, kBegun, kMade };
  struct Slot {
    State state = State::kAsked;
    Value value = {};
    std::exception_ptr failure = nullptr;
  };

  void work() {
    if (at_start_) at_start_();
    std::unique_lock lock(mutex_);
    for (;;) {
      auto next = slots_.end();
      wake_.wait(lock, [&] {
        next = slots_.begin();
        while (next != slots_.end() && next->second.state != State::kAsked) ++next;
        return ends_ || next != slots_.end();
      });
      if (ends_) return;
      Slot& slot = next->second;  // stays in its place while it is begun
      const Key key = next->first;
      slot.state = State::kBegun;
      lock.unlock();
      Value value = {};
      std::exception_ptr failure;
      try {
        value = make_(key);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      slot.value = std::move(value);
      slot.failure = failure;
      slot.state = State::kMade;
      done_.notify_all();
    }
  }

  std::function<Value(const Key&)> make_;
  std::function<void()> at_start_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::map<Key, Slot> slots_;
  bool ends_ = false;
  std::vector<std::thread> makers_;
};

}  // namespace pangu::train
