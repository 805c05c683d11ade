// The store of jobs and the store of pictures that a configuration names.
#pragma once
#include <memory>

#include "serve/config.h"
#include "serve/picture_store.h"
#include "serve/shared_store.h"

namespace pangu::serve {

struct Stores {
  std::unique_ptr<JobStore> jobs;
  SharedStore* shared = nullptr;  // `jobs`, if several processes may share it
  std::unique_ptr<PictureStore> pictures;
};

// Whether a queue is one that several processes share. Error kBadInput for no address of a queue.
bool is_shared_queue(const ServeConfig& config);

// Error kIo or StoreAway if they cannot be opened, kBadInput for addresses that are none.
Stores open_stores(const ServeConfig& config);

}  // namespace pangu::serve
