// Models in memory: opened once for each path and LoadOptions, kept up to a budget of bytes, those
// that were used longest ago given up first. A model with LoRAs is another model than the one
// without: it has weights of its own, so that nothing of a request reaches the next.
#pragma once
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "core/watch.h"
#include "pipeline/model.h"

namespace pangu::app {

class ModelCache {
 public:
  using Open = std::function<pipeline::Model(const std::string& path,
                                             const pipeline::LoadOptions& options, const Watch&)>;

  // budget_bytes: of the weights of all models together; the one that was asked for last stays even
  // if it is larger alone. `open`: pipeline::load_model.
  ModelCache(int64_t budget_bytes, Open open);

  // A file that was changed since is opened anew. Errors of `open`.
  std::shared_ptr<const pipeline::Model> get(const std::string& path,
                                             const pipeline::LoadOptions& options,
                                             const Watch& watch);
  // Gives up all that nobody else holds.
  void clear() { entries_.clear(); }

  int64_t hits() const { return hits_; }
  int64_t misses() const { return misses_; }
  int64_t bytes() const;  // of all that are kept
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string path;
    int64_t changed = 0;  // when its file was, in the clock of files
    pipeline::LoadOptions options;
    std::shared_ptr<const pipeline::Model> model;
  };
  void make_room(int64_t bytes);

  int64_t budget_bytes_;
  Open open_;
  std::list<Entry> entries_;  // used last first
  int64_t hits_ = 0, misses_ = 0;
};

}  // namespace pangu::app
