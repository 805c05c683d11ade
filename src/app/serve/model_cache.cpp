#include "app/serve/model_cache.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace pangu::app {
namespace {

// Of a folder that of the file that names its parts.
int64_t change_time_of(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code failed;
  const fs::path index = fs::path(path) / "model_index.json";
  const auto time = fs::last_write_time(fs::exists(index, failed) ? index : fs::path(path), failed);
  return failed ? 0 : static_cast<int64_t>(time.time_since_epoch().count());
}

}  // namespace

ModelCache::ModelCache(int64_t budget_bytes, Open open)
    : budget_bytes_(budget_bytes), open_(std::move(open)) {}

std::shared_ptr<const pipeline::Model> ModelCache::get(const std::string& path,
                                                       const pipeline::LoadOptions& options,
                                                       const Watch& watch) {
  const int64_t changed = change_time_of(path);
  std::erase_if(entries_,
                [&](const Entry& entry) { return entry.path == path && entry.changed != changed; });
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.path == path && entry.options == options;
  });
  if (found != entries_.end()) {
    ++hits_;
    entries_.splice(entries_.begin(), entries_, found);
    return entries_.front().model;
  }
  ++misses_;
  auto model = std::make_shared<const pipeline::Model>(open_(path, options, watch));
  make_room(model->cost.weight_bytes);
  entries_.push_front({path, changed, options, std::move(model)});
  return entries_.front().model;
}

void ModelCache::make_room(int64_t bytes) {
  while (!entries_.empty() && this->bytes() + bytes > budget_bytes_) entries_.pop_back();
}

int64_t ModelCache::bytes() const {
  int64_t sum = 0;
  for (const Entry& entry : entries_) sum += entry.model->cost.weight_bytes;
  return sum;
}

}  // namespace pangu::app
