// Hashes of pictures and of the list of them.
#include "data/content.h"

#include <doctest/doctest.h>

#include "core/hash.h"
#include "core/testing.h"

namespace pangu::data {
namespace {

Item item_at(const std::string& path, const std::string& id) {
  Item item;
  item.id = id;
  item.bytes.path = path;
  item.captions_en = {"a disc"};
  return item;
}

TEST_CASE("a picture's hash is that of its bytes, kept as long as its file is not touched") {
  const TestFolder folder;
  const std::string cache = folder.file("contents.json");
  Item item = item_at(folder.write("a.png", std::string("first")), "a");
  {
    ContentHashes hashes(cache);
    CHECK(hashes.of(item) == sha256_hex("first"));
    hashes.save();
  }
  // Other bytes of the same size and time cannot be told: that the old hash comes back shows that
  // the file was not read.
  const auto time = std::filesystem::last_write_time(item.bytes.path);
  folder.write("a.png", std::string("other"));
  std::filesystem::last_write_time(item.bytes.path, time);
  CHECK(ContentHashes(cache).of(item) == sha256_hex("first"));
  std::filesystem::last_write_time(item.bytes.path, time + std::chrono::seconds(1));
  CHECK(ContentHashes(cache).of(item) == sha256_hex("other"));
  std::filesystem::last_write_time(item.bytes.path, time);
  folder.write("a.png", std::string("longer"));
  CHECK(ContentHashes(cache).of(item) == sha256_hex("longer"));
}

TEST_CASE("a part of a shard has a hash of its own") {
  const TestFolder folder;
  Item item = item_at(folder.write("a.tar", std::string("headfirstsecond")), "a");
  item.bytes.offset = 4;
  item.bytes.size_bytes = 5;
  ContentHashes hashes(folder.file("contents.json"));
  CHECK(hashes.of(item) == sha256_hex("first"));
  item.bytes.offset = 9;
  item.bytes.size_bytes = 6;
  CHECK(hashes.of(item) == sha256_hex("second"));
}

TEST_CASE(
    "a kept file that is no JSON of ours is made again, and a picture that is gone is named") {
  const TestFolder folder;
  const std::string cache = folder.write("contents.json", std::string("{\"x\": [1, true, 3]"));
  const Item item = item_at(folder.write("a.png", std::string("first")), "a");
  ContentHashes hashes(cache);
  CHECK(hashes.of(item) == sha256_hex("first"));
  std::filesystem::remove(item.bytes.path);
  CHECK_THROWS_WITH_AS(hashes.of(item), doctest::Contains("a.png"), Error);
}

TEST_CASE("the index is another one with other bytes, captions or order, and the same elsewhere") {
  const std::vector<Item> items = {item_at("here/a.png", "a"), item_at("here/b.png", "b")};
  const std::string index = index_hash(items, {"1", "2"});
  std::vector<Item> moved = items, told = items;
  moved[0].bytes.path = "there/a.png";
  told[1].captions_zh = {"圆"};
  CHECK(index_hash(moved, {"1", "2"}) == index);
  CHECK(index_hash(told, {"1", "2"}) != index);
  CHECK(index_hash(items, {"1", "3"}) != index);
  CHECK(index_hash({items[1], items[0]}, {"2", "1"}) != index);
}

}  // namespace
}  // namespace pangu::data
