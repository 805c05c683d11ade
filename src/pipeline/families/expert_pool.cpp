#include "pipeline/families/expert_pool.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

namespace pangu::pipeline {

// Holds outlive the pool where the model is gone before its last drawing: the state is shared.
struct ExpertPool::State {
  struct Place {
    Maker make;
    std::shared_ptr<const LoadedDenoiser> loaded;  // null: not in memory
    size_t holders = 0;
    uint64_t let_go = 0;  // when, counted in holds
  };

  size_t most = 0;
  std::timed_mutex mutex;  // held while an expert is loaded, too
  std::condition_variable_any changed;
  std::vector<Place> places;
  std::deque<const void*> waiting;  // who asked, in order; each is told apart by an address
  uint64_t clock = 0;

  size_t in_memory() const {
    return static_cast<size_t>(std::count_if(places.begin(), places.end(),
                                             [](const Place& p) { return p.loaded != nullptr; }));
  }

  // The place that makes room for another expert; null if all are held.
  Place* idle() {
    Place* longest = nullptr;
    for (Place& p : places) {
      if (!p.loaded || p.holders > 0) continue;
      if (!longest || p.let_go < longest->let_go) longest = &p;
    }
    return longest;
  }

  bool has_room_for(size_t expert) {
    return places[expert].loaded || most == 0 || in_memory() < most || idle();
  }

  // REQUIRES: the mutex is held, and there is room.
  static Hold take(const std::shared_ptr<State>& state, size_t expert, const Watch& watch) {
    Place& place = state->places[expert];
    if (!place.loaded) {
      if (state->most > 0 && state->in_memory() >= state->most) state->idle()->loaded = nullptr;
      place.loaded = place.make(watch);
    }
    ++place.holders;
    return Hold(place.loaded.get(), [state, expert](const LoadedDenoiser*) {
      const std::lock_guard lock(state->mutex);
      --state->places[expert].holders;
      state->places[expert].let_go = ++state->clock;
      state->changed.notify_all();
    });
  }
};

ExpertPool::ExpertPool(size_t most, std::vector<Maker> makers) : state_(new State) {
  state_->most = most;
  for (Maker& make : makers) state_->places.push_back({std::move(make), nullptr, 0, 0});
}

ExpertPool::Hold ExpertPool::hold(size_t expert, const Watch& watch) {
  constexpr std::chrono::milliseconds kAskEvery{50};
  auto lock = watch.lock(state_->mutex);
  const char self = 0;
  state_->waiting.push_back(&self);
  struct Leave {
    State& state;
    const void* self;
    ~Leave() {
      std::erase(state.waiting, self);
      state.changed.notify_all();
    }
  } const leave{*state_, &self};
  while (state_->waiting.front() != &self || !state_->has_room_for(expert)) {
    state_->changed.wait_for(lock, kAskEvery);
    watch.check();
  }
  return State::take(state_, expert, watch);
}

ExpertPool::Hold ExpertPool::hold_at_once(size_t expert, const Watch& watch) {
  auto lock = watch.lock(state_->mutex);
  if (!state_->waiting.empty() || !state_->has_room_for(expert)) return nullptr;
  return State::take(state_, expert, watch);
}

ExpertPool::Hold ExpertPool::use(size_t expert, const Watch& watch) {
  {
    const auto lock = watch.lock(state_->mutex);
    if (state_->places[expert].loaded) return State::take(state_, expert, watch);
  }
  return hold(expert, watch);
}

void ExpertPool::release() {
  const std::lock_guard lock(state_->mutex);
  for (State::Place& place : state_->places) {
    if (place.holders == 0) place.loaded = nullptr;
  }
}

}  // namespace pangu::pipeline
