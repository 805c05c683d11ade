// The denoisers of one model that are in memory, where not all may be: which one makes room, and
// who waits. Any number of drawings share it. Knows no architecture.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "core/watch.h"

namespace pangu::pipeline {

struct LoadedDenoiser;

// Thread-safe. An expert that somebody holds is never taken away; of the others, the one that was
// let go longest ago makes room first.
class ExpertPool {
 public:
  using Maker = std::function<std::shared_ptr<const LoadedDenoiser>(const Watch&)>;
  using Hold = std::shared_ptr<const LoadedDenoiser>;

  // makers: one an expert, each called whenever its expert is wanted and not in memory. most: how
  // many are in memory at once; 0: all.
  ExpertPool(size_t most, std::vector<Maker> makers);

  // Keeps the expert in memory for as long as the result lives, and loads it first if need be.
  // Drawings that want the same one share it; one that wants another waits until there is room, in
  // the order of asking, so that two drawings take turns by stages and not by steps. To hold one
  // while waiting for another would stop all: let go first. Throws
  // Stopped.
  Hold hold(size_t expert, const Watch& watch);

  // The same, but null where it would have to wait for others.
  Hold hold_at_once(size_t expert, const Watch& watch);

  // For one call, by whoever may hold the expert already: as hold(), but an expert that is in
  // memory is shared without waiting for those who wait for another.
  Hold use(size_t expert, const Watch& watch);

  // Takes the experts that nobody holds out of memory.
  void release();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace pangu::pipeline
