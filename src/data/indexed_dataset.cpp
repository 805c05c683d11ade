#include "data/indexed_dataset.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <mutex>
#include <thread>

#include "core/error.h"
#include "data/brace_list.h"
#include "data/file_lines.h"
#include "data/file_names.h"
#include "data/folder_files.h"
#include "data/picture_folder.h"
#include "data/sample.h"
#include "io/http_file.h"
#include "io/mapped_file.h"

namespace pangu::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kShardReaders = 4;  // of shards on web servers at once

void add_reasons(const std::vector<Report::Reason>& from, std::vector<Report::Reason>& to_) {
  for (const Report::Reason& reason : from) {
    auto found = std::find_if(to_.begin(), to_.end(), [&](const Report::Reason& known) {
      return known.text == reason.text;
    });
    if (found == to_.end()) {
      if (to_.size() < Report::kReasonsKept) to_.push_back(reason);
      continue;
    }
    found->count += reason.count;
    for (const std::string& name : reason.first_names) {
      if (found->first_names.size() < Report::kNamesKept) found->first_names.push_back(name);
    }
  }
}

void add_report(const Report& from, Report& to_) {
  to_.kept += from.kept;
  to_.skipped += from.skipped;
  to_.warned += from.warned;
  add_reasons(from.skipped_because, to_.skipped_because);
  add_reasons(from.warned_because, to_.warned_because);
  for (const auto& [suffix, count] : from.passed_over) to_.passed_over[suffix] += count;
}

void add_shard(IndexedShard shard, IndexedDataset& dataset_, Report& report_) {
  std::move(shard.items.begin(), shard.items.end(), std::back_inserter(dataset_.items));
  std::move(shard.contents.begin(), shard.contents.end(), std::back_inserter(dataset_.contents));
  add_report(shard.report, report_);
}

void open_manifest(const fs::path& folder, std::vector<Item>& items_, Report& report_) {
  for_each_line((folder / "manifest.jsonl").string(), [&](int64_t number, std::string_view line) {
    keep_or_skip("manifest.jsonl:" + std::to_string(number), items_, report_, [&] {
      Item item = parse_manifest_line(line);
      item.bytes.path = (folder / item.bytes.path).string();
      read_header(io::MappedFile(item.bytes.path).bytes(), item);
      return item;
    });
  });
}

// Several shards at once, so that a server's answers are not waited for one by one. The result does
// not depend on who was first.
class ShardList {
 public:
  ShardList(const std::vector<std::string>& names, const ShardIndexes& indexes,
            const std::function<void(int64_t, int64_t)>& on_shard)
      : names_(names), indexes_(indexes), on_shard_(on_shard), shards_(names.size()) {}

  void open(IndexedDataset& dataset_, Report& report_) {
    const bool far = std::any_of(names_.begin(), names_.end(), io::is_url);
    std::vector<std::thread> readers;
    for (size_t i = 0; i < (far ? std::min(kShardReaders, names_.size()) : 1); ++i) {
      readers.emplace_back([this] { read(); });
    }
    for (std::thread& reader : readers) reader.join();
    if (failure_) std::rethrow_exception(failure_);
    for (IndexedShard& shard : shards_) add_shard(std::move(shard), dataset_, report_);
  }

 private:
  void read() {
    for (;;) {
      size_t mine = 0;
      {
        const std::lock_guard lock(mutex_);
        if (failure_ || next_ == names_.size()) return;
        mine = next_++;
      }
      try {
        shards_[mine] = one(names_[mine]);
        const std::lock_guard lock(mutex_);
        ++done_;
        if (on_shard_) on_shard_(static_cast<int64_t>(done_), static_cast<int64_t>(names_.size()));
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
      }
    }
  }

  IndexedShard one(const std::string& name) const {
    try {
      return open_indexed_shard(name, indexes_);
    } catch (const Error& error) {
      if (io::is_url(name) && error.code() != ErrorCode::kBadInput) throw;
      IndexedShard none;
      none.report.skip(name, error.what());
      return none;
    }
  }

  const std::vector<std::string>& names_;
  const ShardIndexes& indexes_;
  const std::function<void(int64_t, int64_t)>& on_shard_;
  std::vector<IndexedShard> shards_;
  std::mutex mutex_;
  size_t next_ = 0, done_ = 0;
  std::exception_ptr failure_;
};

void open_folder(const std::string& path, const ShardIndexes& indexes,
                 const std::function<void(int64_t, int64_t)>& on_shard, IndexedDataset& dataset_,
                 Report& report_) {
  const std::vector<std::string> names = files_under(path, report_);
  std::vector<std::string> shards;
  for (const std::string& name : names) {
    if (split_at_last_dot(name).suffix == "tar") shards.push_back((fs::path(path) / name).string());
  }
  ShardList(shards, indexes, on_shard).open(dataset_, report_);
  open_picture_folder(path, names, dataset_.items, report_);
}

}  // namespace

bool is_shard_list(const std::string& path) {
  std::error_code ignored;
  return io::is_url(path) || (path.find('{') != std::string::npos && !fs::exists(path, ignored));
}

IndexedDataset open_indexed(const std::string& path, const ShardIndexes& indexes, Report& report_,
                            const std::function<void(int64_t, int64_t)>& on_shard) {
  IndexedDataset dataset;
  std::error_code ignored;
  if (is_shard_list(path)) {
    ShardList(expand_braces(path), indexes, on_shard).open(dataset, report_);
  } else if (fs::is_regular_file(path, ignored) && split_at_last_dot(path).suffix == "tar") {
    add_shard(open_indexed_shard(path, indexes), dataset, report_);
  } else if (fs::exists(fs::path(path) / "manifest.jsonl", ignored)) {
    open_manifest(path, dataset.items, report_);
  } else if (fs::is_directory(path, ignored)) {
    open_folder(path, indexes, on_shard, dataset, report_);
  } else {
    throw bad_input("dataset '" + path + "'", "a folder, a .tar, a URL or a list as {000..127}.tar",
                    fs::exists(path, ignored) ? "another file" : "nothing");
  }
  if (dataset.items.empty()) {
    const Error error =
        bad_input("dataset '" + path + "'", "at least one picture with a caption", "none",
                  "put pictures with captions beside them (NAME.txt), metadata.jsonl, WebDataset "
                  ".tar shards or manifest.jsonl in it");
    throw with_details(error, report_);
  }
  dataset.contents.resize(dataset.items.size());
  return dataset;
}

}  // namespace pangu::data
