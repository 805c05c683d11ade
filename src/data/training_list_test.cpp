// Which sizes pictures are trained at, and how scenes are named.
#include "data/training_list.h"

#include <doctest/doctest.h>

#include <set>

#include "core/testing.h"

using namespace pangu;
using namespace pangu::data;

namespace {

Item sized(const std::string& id, int width, int height) {
  Item item;
  item.id = id;
  item.width = width;
  item.height = height;
  item.captions_en = {id};
  return item;
}

std::vector<Item> cutouts() {
  std::vector<Item> items;
  for (const char* name : {"cat", "dog", "owl", "fox", "hen", "cow"}) {
    Item item = sized(name, 64, 64);
    item.name_en = item.name_zh = name;
    item.measure_zh = "只";
    item.style = "flat";
    item.has_alpha = true;
    items.push_back(item);
  }
  return items;
}

TEST_CASE("without buckets every picture is trained at the square of the resolution") {
  const std::vector<Item> items = {sized("wide", 640, 320), sized("square", 100, 100)};
  const auto list = training_list(items, {"hash a", "hash b"}, "index", {.resolution_px = 128});
  REQUIRE(list.size() == 2);
  for (const TrainingPicture& one : list) {
    CHECK(one.width_px == 128);
    CHECK(one.height_px == 128);
  }
  CHECK(list[0].key == "hash a");
  CHECK(list[0].captions == std::vector<std::vector<std::string>>{{"wide"}, {}});
}

TEST_CASE("with buckets a picture is trained at a shape like its own, in steps") {
  const std::vector<Item> items = {sized("wide", 640, 320), sized("square", 100, 100)};
  const auto list =
      training_list(items, {"a", "b"}, "index", {.resolution_px = 256, .enable_bucket = true});
  CHECK(list[0].width_px > list[0].height_px);
  CHECK(list[0].width_px % 64 == 0);
  CHECK(list[0].height_px % 64 == 0);
  CHECK(list[1].width_px == 256);
  CHECK(list[1].height_px == 256);
  // Also where half of the resolution is no multiple of the step.
  for (const TrainingPicture& one :
       training_list(items, {"a", "b"}, "index", {.resolution_px = 320, .enable_bucket = true})) {
    CHECK(one.width_px % 64 == 0);
    CHECK(one.height_px % 64 == 0);
  }
}

TEST_CASE("without upscale a small picture is trained at its own size, in steps") {
  const std::vector<Item> items = {sized("small", 100, 100), sized("large", 900, 900),
                                   sized("thin", 20, 300)};
  const TrainingListOptions options{
      .resolution_px = 256, .enable_bucket = true, .bucket_step_px = 32, .bucket_no_upscale = true};
  const auto list = training_list(items, {"a", "b", "c"}, "index", options);
  CHECK(list[0].width_px == 96);
  CHECK(list[0].height_px == 96);
  CHECK(list[1].width_px == 256);
  CHECK(list[2].width_px == 32);
}

TEST_CASE(
    "a picture that is stored smaller has another key, so that no cache takes it for itself") {
  Item item = sized("fox", 256, 256);
  item.stored_px = 64;
  const auto key = [&] { return training_list({item}, {"bytes"}, "", {})[0].key; };
  const std::string at_64 = key();
  CHECK(at_64 != "bytes");
  item.stored_px = 128;
  CHECK(key() != at_64);
}

TEST_CASE("a step that does not fit into the resolution is refused") {
  const std::vector<Item> items = {sized("square", 100, 100)};
  const TrainingListOptions options{
      .resolution_px = 32, .enable_bucket = true, .bucket_step_px = 64};
  CHECK(contains(refusal_of([&] { training_list(items, {"a"}, "index", options); }), "64 px"));
}

TEST_CASE(
    "scenes come after the pictures, each with a name of its own that the seed and the items "
    "change") {
  const std::vector<Item> items = cutouts();
  const std::vector<std::string> contents(items.size(), "hash");
  TrainingListOptions options{.resolution_px = 64, .scene_count = 5, .seed = 1};
  const auto list = training_list(items, contents, "index", options);
  REQUIRE(list.size() == items.size() + 5);
  std::vector<std::string> keys;
  for (size_t i = items.size(); i < list.size(); ++i) {
    keys.push_back(list[i].key);
    CHECK(!list[i].captions[0].empty());
    CHECK(!list[i].captions[1].empty());
  }
  CHECK(std::set<std::string>(keys.begin(), keys.end()).size() == 5);
  options.seed = 2;
  CHECK(training_list(items, contents, "index", options).back().key != keys.back());
  options.seed = 1;
  CHECK(training_list(items, contents, "other", options).back().key != keys.back());
}

TEST_CASE("a list says what was cut off of a picture and how large it was") {
  const std::vector<Item> items = {sized("wide", 400, 200)};
  TrainingListOptions options;
  options.resolution_px = 128;
  const TrainingPicture square = training_list(items, {"a"}, "", options)[0];
  CHECK(square.original_width_px == 400);
  CHECK(square.original_height_px == 200);
  CHECK(square.crop_left_px == 64);  // of 256 x 128
  CHECK(square.crop_top_px == 0);
  options.buckets = {{64, 128}, {192, 96}};
  const TrainingPicture given = training_list(items, {"a"}, "", options)[0];
  CHECK(given.width_px == 192);
  CHECK(given.height_px == 96);
}

}  // namespace
