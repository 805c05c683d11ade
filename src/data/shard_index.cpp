#include "data/shard_index.h"

#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "core/error.h"
#include "core/hash.h"
#include "data/file_lines.h"
#include "data/shard.h"
#include "io/atomic_file.h"
#include "io/file_claims.h"
#include "io/http_file.h"
#include "io/mapped_file.h"

namespace pangu::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kFormat = 1;
constexpr size_t kNameDigits = 24;  // of the hash in an index's name

// What another content of the shard would change.
json identity_of(const std::string& path) {
  if (io::is_url(path)) {
    const io::HttpFile file = io::http_file(path);
    return {{"format", kFormat}, {"bytes", file.size_bytes}, {"version", file.version}};
  }
  std::error_code failed;
  const uint64_t bytes = fs::file_size(path, failed);
  if (failed) throw io_error("cannot read", path, failed.value());
  const auto time = fs::last_write_time(path, failed);
  if (failed) throw io_error("cannot read", path, failed.value());
  return {{"format", kFormat},
          {"bytes", bytes},
          {"version", std::to_string(time.time_since_epoch().count())}};
}

json reasons_json(const std::vector<Report::Reason>& reasons) {
  json list = json::array();
  for (const Report::Reason& one : reasons) list.push_back({one.text, one.count, one.first_names});
  return list;
}

std::vector<Report::Reason> reasons_from(const json& list) {
  std::vector<Report::Reason> reasons;
  for (const json& one : list) {
    reasons.push_back({one.at(0).get<std::string>(), one.at(1).get<int64_t>(),
                       one.at(2).get<std::vector<std::string>>()});
  }
  return reasons;
}

json report_json(const Report& report) {
  return {{"kept", report.kept},
          {"skipped", report.skipped},
          {"skipped_because", reasons_json(report.skipped_because)},
          {"warned", report.warned},
          {"warned_because", reasons_json(report.warned_because)},
          {"passed_over", report.passed_over}};
}

Report report_from(const json& object) {
  Report report;
  report.kept = object.at("kept").get<int64_t>();
  report.skipped = object.at("skipped").get<int64_t>();
  report.skipped_because = reasons_from(object.at("skipped_because"));
  report.warned = object.at("warned").get<int64_t>();
  report.warned_because = reasons_from(object.at("warned_because"));
  report.passed_over = object.at("passed_over").get<std::map<std::string, int64_t>>();
  return report;
}

json item_json(const Item& item, const std::string& content) {
  return {{"offset", item.bytes.offset},
          {"bytes", item.bytes.size_bytes},
          {"width", item.width},
          {"height", item.height},
          {"alpha", item.has_alpha},
          {"sha256", content},
          {"item", json::parse(manifest_line(item, item.id))}};
}

Item item_from(const json& line, const std::string& path) {
  Item item;
  read_fields(line.at("item"), item, nullptr);
  item.bytes = {path, line.at("offset").get<uint64_t>(), line.at("bytes").get<uint64_t>()};
  item.width = line.at("width").get<int>();
  item.height = line.at("height").get<int>();
  item.has_alpha = line.at("alpha").get<bool>();
  return item;
}

// The index as text: identity, report, then a picture a line. What is not UTF-8 becomes U+FFFD.
std::string index_text(const json& identity, const IndexedShard& shard) {
  const auto line = [](const json& object) {
    return object.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  };
  std::string text = line(identity) + line(report_json(shard.report));
  for (size_t i = 0; i < shard.items.size(); ++i) {
    text += line(item_json(shard.items[i], shard.contents[i]));
  }
  return text;
}

// Nothing if there is no index of this content.
std::optional<IndexedShard> read_index(const std::string& file, const std::string& path,
                                       const json& identity) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return std::nullopt;
  IndexedShard shard;
  bool fits = false;
  try {
    for_each_line(file, [&](int64_t number, std::string_view text) {
      const json line = json::parse(text);
      if (number == 1) fits = line == identity;
      if (!fits || number == 1) return;
      if (number == 2) {
        shard.report = report_from(line);
        return;
      }
      shard.items.push_back(item_from(line, path));
      shard.contents.push_back(line.at("sha256").get<std::string>());
    });
  } catch (const json::exception&) {
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
  if (!fits) return std::nullopt;
  return shard;
}

// A copy that is deleted with this.
struct ShardCopy {
  std::string path;
  explicit ShardCopy(std::string at) : path(std::move(at)) {}
  ~ShardCopy() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
  ShardCopy(const ShardCopy&) = delete;
  ShardCopy& operator=(const ShardCopy&) = delete;
};

void hash_contents(const std::string& place, IndexedShard& shard_) {
  const io::MappedFile file(place);
  for (size_t i = 0; i < shard_.items.size(); ++i) {
    const Source& at = shard_.items[i].bytes;
    const auto bytes = file.bytes().subspan(at.offset, at.size_bytes);
    Sha256 hash;
    hash.update(bytes);
    shard_.contents[i] = hex_of(hash.digest());
    io::forget_pages(bytes);
  }
}

// folder: for the copy of a shard on a server; empty: that of temporary files.
IndexedShard look_through(const std::string& path, const std::string& folder, bool hashes) {
  IndexedShard shard;
  const auto look = [&](const std::string& place) {
    open_shard(place, shard.items, shard.report, path);
    shard.contents.resize(shard.items.size());
    if (hashes) hash_contents(place, shard);
  };
  if (!io::is_url(path)) {
    look(path);
    return shard;
  }
  const std::string name =
      sha256_hex(path).substr(0, kNameDigits) + "." + std::to_string(::getpid()) + ".copy.tar";
  const ShardCopy copy((fs::path(folder) / name).string());
  io::http_download(path, io::http_file(path), copy.path);
  look(copy.path);
  return shard;
}

}  // namespace

IndexedShard open_indexed_shard(const std::string& path, const ShardIndexes& indexes) {
  if (indexes.folder.empty()) return look_through(path, "", io::is_url(path));
  const json identity = identity_of(path);
  const std::string place =
      io::is_url(path) ? path : fs::absolute(path).lexically_normal().string();
  const std::string file =
      indexes.folder + "/" + sha256_hex(place).substr(0, kNameDigits) + ".jsonl";
  if (auto found = read_index(file, path, identity)) return *std::move(found);
  if (!indexes.may_write) return look_through(path, "", true);
  fs::create_directories(indexes.folder);
  io::FileClaims claims(indexes.folder + "/claims");
  const uint64_t number = stable_hash(place) >> 2;
  claims.claim(number);
  if (auto found = read_index(file, path, identity)) return *std::move(found);
  io::write_file_atomic(file, index_text(identity, look_through(path, indexes.folder, true)));
  // As every later start has it.
  auto written = read_index(file, path, identity);
  if (!written) throw Error(ErrorCode::kIo, "cannot read back the index '" + file + "'");
  return *std::move(written);
}

}  // namespace pangu::data
