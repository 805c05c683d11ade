// Shards on this machine; those on a server are read in tests/e2e.
#include "data/indexed_dataset.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <thread>

#include "core/testing.h"
#include "data/content.h"
#include "data/dataset.h"
#include "data/tar.h"
#include "image/image.h"
#include "io/mapped_file.h"

using namespace pangu;
using namespace pangu::data;

namespace {

void add_text(TarWriter& tar_, const std::string& name, const std::string& text) {
  tar_.add(name, std::as_bytes(std::span(text)));
}

// Two pictures, one that is cut, one without a caption, and a note.
void write_shard(const std::string& path, const std::string& prefix, int side = 24) {
  TarWriter tar(path);
  for (const char* name : {"a", "b", "cut", "mute"}) {
    image::Bytes png = image::encode_png(image::filled(side, 16, {7, 8, 9}, 3));
    if (std::string(name) == "cut") png.resize(12);
    tar.add(prefix + name + ".png", std::as_bytes(std::span(png)));
    if (std::string(name) != "mute") {
      add_text(tar, prefix + name + ".txt", prefix + name + " \"quoted\"\n一只猫\n");
    }
  }
  add_text(tar, prefix + "notes.md", "nothing");
  tar.commit();
}

struct Shards {
  TestFolder folder;
  ShardIndexes indexes{folder.file("index"), true};
  Report report;

  IndexedDataset open(const std::string& path) {
    report = {};
    return open_indexed(path, indexes, report);
  }
  std::vector<std::string> index_files() const {
    std::vector<std::string> files;
    if (!std::filesystem::exists(indexes.folder)) return files;
    for (const auto& entry : std::filesystem::directory_iterator(indexes.folder)) {
      if (entry.path().extension() == ".jsonl") files.push_back(entry.path().string());
    }
    return files;
  }
};

std::vector<std::string> lines_of(const std::vector<Item>& items) {
  std::vector<std::string> lines;
  for (const Item& item : items) {
    lines.push_back(manifest_line(item, item.bytes.path) + " " + std::to_string(item.has_alpha) +
                    " " + std::to_string(item.bytes.offset));
  }
  return lines;
}

}  // namespace

TEST_CASE("an index says of a shard all that the shard says, and what was left out of it") {
  Shards s;
  write_shard(s.folder.file("x.tar"), "1-");
  Report plain;
  const auto items = open_dataset(s.folder.file("x.tar"), plain);
  for (int time = 0; time < 2; ++time) {  // when it is written, and when it is read
    const IndexedDataset indexed = s.open(s.folder.file("x.tar"));
    CHECK(lines_of(indexed.items) == lines_of(items));
    CHECK(s.report.text() == plain.text());
    REQUIRE(indexed.contents.size() == 2);
    ContentHashes hashes(s.folder.file("contents.json"));
    for (size_t i = 0; i < 2; ++i) CHECK(indexed.contents[i] == hashes.of(indexed.items[i]));
    CHECK(load_image(indexed.items[1]).width == 24);
    CHECK(s.index_files().size() == 1);
  }
  CHECK(plain.skipped == 2);
}

TEST_CASE("a shard that was replaced, and an index that is damaged, are looked through again") {
  Shards s;
  write_shard(s.folder.file("x.tar"), "1-");
  s.open(s.folder.file("x.tar"));
  write_shard(s.folder.file("x.tar"), "1-", 32);
  CHECK(s.open(s.folder.file("x.tar")).items[0].width == 32);
  const std::string file = s.index_files().at(0);
  std::string text = io::read_text_file(file);
  s.folder.write("index/" + std::filesystem::path(file).filename().string(),
                 text.substr(0, text.size() - 30));
  CHECK(s.open(s.folder.file("x.tar")).items.size() == 2);
  CHECK(io::read_text_file(file) == text);
}

TEST_CASE("lists and folders of shards are one dataset in their order") {
  Shards s;
  for (int i = 8; i <= 11; ++i) {
    const std::string number = (i < 10 ? "0" : "") + std::to_string(i);
    write_shard(s.folder.file("s-" + number + ".tar"), std::to_string(i) + "-");
  }
  const auto list = s.open(s.folder.file("s-{08..11}.tar"));
  REQUIRE(list.items.size() == 8);
  CHECK(list.items[0].id == "8-a");
  CHECK(list.items[7].id == "11-b");
  CHECK(s.report.kept == 8);
  CHECK(s.report.skipped == 8);
  CHECK(s.index_files().size() == 4);
  const auto folder = s.open(s.folder.path.string());
  CHECK(lines_of(folder.items) == lines_of(list.items));
  CHECK(folder.contents == list.contents);
  const auto missing = s.open(s.folder.file("s-{07..08}.tar"));
  CHECK(missing.items.size() == 2);
  CHECK(contains(s.report.text(), "s-07.tar"));
}

TEST_CASE("without leave nothing is written") {
  Shards s;
  write_shard(s.folder.file("x.tar"), "1-");
  s.indexes.may_write = false;
  CHECK(s.open(s.folder.file("x.tar")).contents[0].size() == 64);
  CHECK(!std::filesystem::exists(s.indexes.folder));
}

TEST_CASE("several that open a dataset at once get the same") {
  Shards s;
  for (int i = 0; i < 4; ++i) {
    write_shard(s.folder.file("s-" + std::to_string(i) + ".tar"), std::to_string(i) + "-");
  }
  std::vector<std::vector<std::string>> seen(4);
  std::vector<std::thread> threads;
  for (auto& lines : seen) {
    threads.emplace_back([&] {
      Report report;
      lines = lines_of(open_indexed(s.folder.file("s-{0..3}.tar"), s.indexes, report).items);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(seen[0].size() == 8);
  for (const auto& lines : seen) CHECK(lines == seen[0]);
}

TEST_CASE("what is no dataset is refused, and URLs are no paths") {
  Shards s;
  CHECK(contains(refusal_of([&] { s.open(s.folder.file("none")); }), "found nothing"));
  CHECK(contains(refusal_of([&] { s.open(s.folder.file("{1..2}.tar")); }), "at least one picture"));
  CHECK(is_shard_list("https://a/b.tar"));
  CHECK(is_shard_list("a-{1..2}.tar"));
  CHECK(!is_shard_list("a.tar"));
}
