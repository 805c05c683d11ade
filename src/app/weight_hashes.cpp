#include "app/weight_hashes.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "app/cache_folder.h"
#include "core/hash.h"
#include "io/atomic_file.h"
#include "io/file_hash.h"
#include "io/json_file.h"
#include "io/mapped_file.h"

namespace pangu::app {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr size_t kHashPieceBytes = size_t{4} << 20;  // between questions whether to stop
constexpr size_t kMaxCacheBytes = size_t{8} << 20;

fs::path cache_file() {
  const fs::path folder = cache_folder();
  return folder.empty() ? folder : folder / "sha256.json";
}

json read_cache() {
  try {
    const fs::path file = cache_file();
    if (!fs::is_regular_file(file)) return json::object();
    json cache = io::read_json_file(file.string(), "", {.max_bytes = kMaxCacheBytes});
    return cache.is_object() ? cache : json::object();
  } catch (const std::exception&) {  // a broken cache is made anew
    return json::object();
  }
}

// What a path must still have for its hash to hold.
json state_of(const std::string& path) {
  return {{"size", fs::file_size(path)},
          {"changed", fs::last_write_time(path).time_since_epoch().count()}};
}

std::string cached(const std::string& path) {
  const json cache = read_cache();
  const auto found = cache.find(path);
  if (found == cache.end() || !found->is_object() ||
      found->value("state", json()) != state_of(path))
    return "";
  const json digits = found->value("sha256", json());
  return digits.is_string() ? digits.get<std::string>() : "";
}

void remember(const std::string& path, const std::string& digits) {
  try {
    const fs::path file = cache_file();
    if (file.empty()) return;
    fs::create_directories(file.parent_path());
    json cache = read_cache();
    cache[path] = {{"state", state_of(path)}, {"sha256", digits}};
    io::write_file_atomic(file.string(), cache.dump(1));
  } catch (const std::exception&) {  // it is only found again next time
  }
}

}  // namespace

WeightHashes::WeightHashes(const std::string& model_path) {
  std::error_code unreadable;
  if (!fs::is_regular_file(model_path, unreadable)) {
    model_ = "";
    return;
  }
  path_ = fs::absolute(model_path).lexically_normal().string();
  thread_ = std::jthread([this](const std::stop_token& stop) { hash_model(stop); });
}

WeightHashes::~WeightHashes() = default;

void WeightHashes::hash_model(const std::stop_token& stop) {
  std::string digits;
  try {
    digits = cached(path_);
    if (digits.empty()) {
      const io::MappedFile file(path_);
      Sha256 hash;
      for (auto rest = file.bytes(); !rest.empty() && !stop.stop_requested();) {
        const size_t size = std::min(rest.size(), kHashPieceBytes);
        hash.update(rest.first(size));
        rest = rest.subspan(size);
      }
      if (stop.stop_requested()) return;
      digits = hex_of(hash.digest());
      remember(path_, digits);
    }
  } catch (const std::exception&) {  // it was read as a model: whoever moved it loses the hash
  }
  const std::lock_guard lock(mutex_);
  model_ = digits;
  done_.notify_all();
}

std::string WeightHashes::model() {
  constexpr std::chrono::milliseconds kAskEvery{100};
  std::unique_lock lock(mutex_);
  while (!model_) {
    done_.wait_for(lock, kAskEvery);
    if (!model_ && wants_stop_ && wants_stop_()) return "";
  }
  return *model_;
}

std::string WeightHashes::lora(const std::string& path) {
  const auto [found, is_new] = loras_.try_emplace(path);
  if (is_new) {
    try {
      found->second = io::sha256_of_tensors(path);
    } catch (const std::exception&) {  // a folder, say
    }
  }
  return found->second;
}

}  // namespace pangu::app
