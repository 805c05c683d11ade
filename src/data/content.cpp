#include "data/content.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "core/error.h"
#include "core/hash.h"
#include "data/dataset.h"
#include "io/atomic_file.h"
#include "io/http_file.h"
#include "io/mapped_file.h"

namespace pangu::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string place_of(const Source& bytes) {
  return fs::absolute(bytes.path).lexically_normal().string() + " " + std::to_string(bytes.offset) +
         " " + std::to_string(bytes.size_bytes);
}

}  // namespace

ContentHashes::ContentHashes(std::string path) : path_(std::move(path)) {
  std::error_code failed;
  if (!fs::is_regular_file(path_, failed)) return;
  const json kept = json::parse(io::read_text_file(path_), nullptr, /*allow_exceptions=*/false);
  if (!kept.is_object()) return;
  for (const auto& [place, entry] : kept.items()) {
    if (!entry.is_array() || entry.size() != 3 || !entry[0].is_number_unsigned() ||
        !entry[1].is_number_integer() || !entry[2].is_string()) {
      continue;
    }
    entries_[place] = {entry[0].get<uint64_t>(), entry[1].get<int64_t>(),
                       entry[2].get<std::string>()};
  }
}

std::string ContentHashes::of(const Item& item) {
  if (io::is_url(item.bytes.path)) {
    const image::Bytes far = read_bytes(item);
    Sha256 hash;
    hash.update(std::as_bytes(std::span(far)));
    return hex_of(hash.digest());
  }
  std::error_code failed;
  const uint64_t file_bytes = fs::file_size(item.bytes.path, failed);
  if (failed) throw io_error("cannot read", item.bytes.path, failed.value());
  const auto time = fs::last_write_time(item.bytes.path, failed);
  if (failed) throw io_error("cannot read", item.bytes.path, failed.value());
  const int64_t changed = time.time_since_epoch().count();
  Entry& entry = entries_[place_of(item.bytes)];
  if (entry.sha256.empty() || entry.file_bytes != file_bytes || entry.changed != changed) {
    const image::Bytes bytes = read_bytes(item);
    Sha256 hash;
    hash.update(std::as_bytes(std::span(bytes)));
    entry = {file_bytes, changed, hex_of(hash.digest())};
    added_ = true;
  }
  return entry.sha256;
}

void ContentHashes::save() {
  if (!added_) return;
  json kept = json::object();
  for (const auto& [place, entry] : entries_) {
    if (!entry.sha256.empty()) kept[place] = {entry.file_bytes, entry.changed, entry.sha256};
  }
  // Names of files need not be UTF-8; one that is not is hashed again the next time.
  io::write_file_atomic(path_, kept.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
  added_ = false;
}

std::string index_hash(const std::vector<Item>& items, const std::vector<std::string>& contents) {
  Sha256 hash;
  for (size_t i = 0; i < items.size(); ++i) {
    hash.update(manifest_line(items[i], items[i].id)).update("\n");
    hash.update(contents.at(i)).update("\n");
  }
  return hex_of(hash.digest());
}

}  // namespace pangu::data
