// Datasets that may be too large to be looked through at every start, and need not be on this
// machine: what data/dataset.h opens, and lists of shards, local or on web servers, with an index
// of every shard (data/shard_index.h).
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "data/shard_index.h"

namespace pangu::data {

// Whether `path` is a URL, or a pattern with braces ("data/{0..9}.tar", data/brace_list.h) and no
// path of a file: what has no place among files.
bool is_shard_list(const std::string& path);

struct IndexedDataset {
  std::vector<Item> items;            // in the order of the list, then as data/dataset.h says
  std::vector<std::string> contents;  // SHA-256 of each picture's bytes; "": not known
};

// Adds what was left out to `report_`; a shard that its server does not have is left out. Error
// kBadInput if the path is no dataset or has not one readable picture; kIo or kUnavailable where a
// shard cannot be read at present, for the same data must not be one dataset today and another one
// tomorrow. on_shard: hears after each shard how many of all are open, from one thread at a time;
// what it throws ends the call.
IndexedDataset open_indexed(const std::string& path, const ShardIndexes& indexes, Report& report_,
                            const std::function<void(int64_t done, int64_t total)>& on_shard = {});

}  // namespace pangu::data
