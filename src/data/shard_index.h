// The index of a WebDataset shard (data/shard.h), local or on a web server: a file of JSON lines,
// written once, that says where every picture lies in the shard, its size, captions and SHA-256,
// and what was left out and why. A picture is then read without its shard, over HTTP by ranges
// (io/http_file.h), and a start does not look through the shards again.
#pragma once
#include <string>
#include <vector>

#include "data/manifest.h"
#include "data/report.h"

namespace pangu::data {

struct ShardIndexes {
  std::string folder;     // where indexes are, one file a shard; empty: nowhere
  bool may_write = true;  // false: those that are there are read, and no other is written
};

struct IndexedShard {
  std::vector<Item> items;
  std::vector<std::string> contents;  // SHA-256 of each picture's bytes; "" where none is kept
  Report report;
};

// path: of a .tar, or its URL. The index is made anew if the shard's size, time or ETag is another;
// of several processes that ask for it one makes it. A shard on a web server is copied for that
// into the index's folder, or without one into that of temporary files, and deleted again. Errors:
// kIo, and those of io/http_file.h.
IndexedShard open_indexed_shard(const std::string& path, const ShardIndexes& indexes);

}  // namespace pangu::data
