#include "data/dataset.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "core/error.h"
#include "core/testing.h"
#include "data/pack.h"
#include "data/tar.h"

using namespace pangu;
using namespace pangu::data;

namespace {

image::Bytes picture(int width, int height, image::Color color, int channels = 3) {
  return image::encode_png(image::filled(width, height, color, channels));
}

std::vector<std::string> ids_of(const std::vector<Item>& items) {
  std::vector<std::string> ids;
  for (const Item& item : items) ids.push_back(item.id);
  return ids;
}

bool names(const Report& report, const std::string& part) {
  return report.text().find(part) != std::string::npos;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a folder of pictures with captions beside them is a dataset, bad files apart") {
  const TestFolder folder;
  folder.write("b.png", picture(300, 256, {1, 2, 3}));
  folder.write("b.txt", std::string("a cat\n一只猫\n"));
  folder.write("inner/a.WEBP", image::encode_webp(image::filled(40, 20, {9, 9, 9}, 4)));
  folder.write("inner/a.txt", std::string("dog"));
  folder.write("lonely.png", picture(8, 8, {}));
  folder.write("broken.png", std::string("\x89PNG\r\n\x1a\n and then nothing"));
  folder.write("broken.txt", std::string("broken"));
  folder.write("latin.png", picture(8, 8, {}));
  folder.write("latin.txt", std::string("caf\xe9"));
  folder.write("notes.md", std::string("not a picture"));
  Report report;
  const auto items = open_dataset(folder.path.string(), report);
  CHECK(ids_of(items) == Names{"b", "inner/a"});
  CHECK(report.kept == 2);
  CHECK(report.skipped == 3);
  CHECK(names(report, "lonely.png"));
  CHECK(names(report, "broken.png"));
  CHECK(names(report, "UTF-8"));
  CHECK(report.passed_over == std::map<std::string, int64_t>{{"md", 1}});
  CHECK(items[0].part == "high");
  CHECK(items[1].part == "low");
  CHECK(items[0].captions_zh == Names{"一只猫"});
  CHECK(items[1].width == 40);
  CHECK(items[1].has_alpha == false);  // opaque WebP has no alpha channel
  CHECK(load_image(items[0]).at(0, 0)[2] == 3);
}

TEST_CASE("a manifest is a dataset; lines and files that are bad are named and skipped") {
  const TestFolder folder;
  folder.write("images/a.png", picture(20, 10, {5, 5, 5}, 4));
  folder.write("manifest.jsonl",
               std::string(R"({"file":"images/a.png","style":"3d","split":"train","part":"high",)"
                           R"("captions":{"en":["a"],"zh":["甲"]}})"
                           "\n\nnot json\n"
                           R"({"file":"images/none.png","captions":["b"]})"
                           "\n"
                           R"({"file":"../x.png","captions":["b"]})"
                           "\n"
                           R"({"file":"images/a.png","width":21,"height":10,"captions":["b"]})"));
  Report report;
  const auto items = open_dataset(folder.path.string(), report);
  REQUIRE(items.size() == 1);
  CHECK(items[0].id == "images/a");
  CHECK(items[0].style == "3d");
  CHECK(items[0].part == "high");
  CHECK(items[0].width == 20);
  CHECK(items[0].has_alpha);
  CHECK(report.skipped == 4);
  CHECK(names(report, "manifest.jsonl:3"));
  CHECK(names(report, "images/none.png"));
  CHECK(names(report, "found 20x10"));
}

TEST_CASE("shards are a dataset: what was packed comes back, and packing is repeatable") {
  const TestFolder folder;
  for (int i = 0; i < 6; ++i) {
    const std::string name(1, static_cast<char>('a' + i));
    folder.write("in/" + name + ".png", picture(300, 200, {static_cast<uint8_t>(i * 20), 0, 0}));
    folder.write("in/" + name + ".txt", "caption " + name + "\n标题");
  }
  Report report;
  const auto items = open_dataset(folder.file("in"), report);
  PackOptions options;
  options.shard_bytes = 8000;
  const auto paths = pack_shards(items, folder.file("out"), options, report);
  CHECK(report.kept == 6);  // each picture once, though it was read and written
  CHECK(paths.size() > 1);
  for (const auto& path : paths) CHECK(std::filesystem::file_size(path) <= 8000);

  Report again_report;
  const auto again = open_dataset(folder.file("out"), again_report);
  CHECK(again_report.skipped == 0);
  REQUIRE(ids_of(again) == ids_of(items));
  for (size_t i = 0; i < items.size(); ++i) {
    CHECK(again[i].captions_en == items[i].captions_en);
    CHECK(again[i].captions_zh == items[i].captions_zh);
    CHECK(load_image(again[i]) == load_image(items[i]));
  }
  const auto single = open_dataset(paths[0], again_report);
  CHECK(!single.empty());
  CHECK(single.size() < items.size());

  const auto first_bytes = std::filesystem::file_size(paths[0]);
  pack_shards(items, folder.file("out"), options, report);
  CHECK(std::filesystem::file_size(paths[0]) == first_bytes);

  // Packed anew, smaller and in one shard: the old shards beyond it are gone.
  options.shard_bytes = 1 << 20;
  options.max_side_px = 50;
  CHECK(pack_shards(items, folder.file("out"), options, report).size() == 1);
  const auto shrunk = open_dataset(folder.file("out"), again_report);
  REQUIRE(shrunk.size() == 6);
  CHECK(shrunk[0].width == 75);
  CHECK(shrunk[0].height == 50);
}

TEST_CASE(
    "captions in a shard may be a caption key or a text file, and a cut shard keeps its head") {
  const TestFolder folder;
  const auto png = picture(4, 4, {});
  {
    const auto bytes = std::as_bytes(std::span(png));
    const auto text = [](const std::string& s) { return std::as_bytes(std::span(s)); };
    const std::string json = R"({"caption":"from json","url":"x"})", plain = "from text",
                      bare = "{}";
    TarWriter tar(folder.file("x.tar"));
    tar.add("a.png", bytes), tar.add("a.json", text(json));
    tar.add("b.txt", text(plain)), tar.add("b.png", bytes);
    tar.add("c.json", text(bare)), tar.add("c.txt", text(plain)), tar.add("c.png", bytes);
    tar.add("d.png", bytes);
    tar.add("e.json", text(json));
    tar.commit();
  }
  Report report;
  const auto items = open_dataset(folder.file("x.tar"), report);
  CHECK(ids_of(items) == Names{"a", "b", "c"});
  CHECK(items[0].captions_en == Names{"from json"});
  CHECK(items[2].captions_en == Names{"from text"});
  CHECK(report.skipped == 1);  // d has no caption
  CHECK(names(report, "x.tar:d"));
  CHECK(report.passed_over == std::map<std::string, int64_t>{{"json", 1}});  // e is no picture

  std::filesystem::resize_file(folder.file("x.tar"), 2560 + 100);
  Report cut;
  CHECK(ids_of(open_dataset(folder.file("x.tar"), cut)) == Names{"a"});
  CHECK(names(cut, "cut padding at byte 2048"));
}

TEST_CASE("members of a shard belong together up to the first dot of their base name") {
  const TestFolder folder;
  const auto png = picture(4, 4, {}), mask = picture(4, 4, {9, 9, 9});
  {
    const auto text = [](const std::string& s) { return std::as_bytes(std::span(s)); };
    const std::string fox = "a fox", none = "no caption", second = "second";
    TarWriter tar(folder.file("x.tar"));
    tar.add("a.b/0.png", std::as_bytes(std::span(png)));
    tar.add("a.b/0.seg.png", std::as_bytes(std::span(mask)));
    tar.add("a.b/0.seg.txt", text(none)), tar.add("a.b/0.txt", text(fox));
    tar.add("1.PNG", std::as_bytes(std::span(png))), tar.add("1.TXT", text(fox));
    tar.add("1.TXT", text(second)), tar.add("2.gif", text(fox)), tar.add("2.cls", text(fox));
    tar.add("./._1.png", text(fox));
    tar.commit();
  }
  Report report;
  const auto items = open_dataset(folder.file("x.tar"), report);
  CHECK(ids_of(items) == Names{"a.b/0", "1"});
  CHECK(items[0].captions_en == Names{"a fox"});
  CHECK(load_image(items[0]).at(0, 0)[0] == 255);
  CHECK(items[1].captions_en == Names{"second"});
  CHECK(report.kept == 2);
  CHECK(report.skipped == 1);
  CHECK(names(report, "2.gif: picture: expected PNG, JPEG or WebP"));
  CHECK(report.warned == 1);
  CHECK(names(report, "the sample has '1.TXT' too"));
  const std::map<std::string, int64_t> others = {
      {"seg.png", 1}, {"seg.txt", 1}, {"cls", 1}, {"hidden", 1}};
  CHECK(report.passed_over == others);
}

TEST_CASE("foreign JSON in a shard does not cost a picture that has a text") {
  const TestFolder folder;
  const auto png = picture(4, 4, {});
  const Names all = {R"({"id":7,"caption":"of json","style":[]})", R"(["a fox"])", "{",
                     R"({"caption":"of json","width":640,"height":480,"similarity":NaN})"};
  {
    const auto text = [](const std::string& s) { return std::as_bytes(std::span(s)); };
    const std::string fox = "a fox";
    TarWriter tar(folder.file("x.tar"));
    for (size_t i = 0; i < all.size(); ++i) {
      const std::string key = std::to_string(i);
      tar.add(key + ".png", std::as_bytes(std::span(png)));
      tar.add(key + ".json", text(all[i])), tar.add(key + ".txt", text(fox));
    }
    tar.commit();
  }
  Report report;
  const auto items = open_dataset(folder.file("x.tar"), report);
  CHECK(ids_of(items) == Names{"0", "1", "2", "3"});
  for (const Item& item : items) {
    CHECK(item.captions_en == Names{"a fox"});
    CHECK(item.width == 4);
  }
  CHECK(report.skipped == 0);
  CHECK(report.warned == 4);
  CHECK(names(report, "x.tar:0: manifest key 'style'"));
  CHECK(names(report, "x.tar:2: the JSON beside it"));
}

TEST_CASE("a path without one picture is an error that says what was skipped") {
  const TestFolder folder;
  folder.write("a.png", std::string("nothing"));
  folder.write("a.txt", std::string("a"));
  Report report;
  for (const std::string& path :
       {folder.path.string(), folder.file("none"), folder.file("a.txt")}) {
    try {
      open_dataset(path, report);
      FAIL("opened " << path);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kBadInput);
      CHECK(std::string(error.what()).find(path) != std::string::npos);
    }
  }
}

TEST_CASE("filters keep by part, split and shorter side") {
  std::vector<Item> items(4);
  for (int i = 0; i < 4; ++i) {
    items[i].id = std::to_string(i);
    items[i].part = i % 2 ? "low" : "high";
    items[i].split = i < 2 ? "train" : "heldout_pair";
    items[i].width = 1000;
    items[i].height = 100 * (i + 1);
  }
  CHECK(ids_of(filtered(items, {})) == Names{"0", "1", "2", "3"});
  CHECK(ids_of(filtered(items, {"high", {}, 0})) == Names{"0", "2"});
  CHECK(ids_of(filtered(items, {"all", {"train"}, 0})) == Names{"0", "1"});
  CHECK(ids_of(filtered(items, {"all", {"heldout_pair", "train"}, 300})) == Names{"2", "3"});
  CHECK_THROWS_AS(filtered(items, {"middle", {}, 0}), Error);
}

TEST_CASE("a picture whose pixels are damaged is found when it is loaded, and reported") {
  const TestFolder folder;
  auto whole = picture(64, 64, {1, 2, 3}), cut = whole;
  cut.resize(cut.size() - 30);
  folder.write("a.png", whole), folder.write("a.txt", std::string("a"));
  folder.write("b.png", cut), folder.write("b.txt", std::string("b"));
  Report report, pixels;
  const auto items = open_dataset(folder.path.string(), report);
  CHECK(items.size() == 2);
  CHECK(ids_of(decodable(items, pixels)) == Names{"a"});
  CHECK(pixels.kept == 1);
  CHECK(pixels.skipped == 1);
  CHECK(names(pixels, "skipped b: "));
  CHECK_THROWS_AS(load_image(items[1]), Error);
  CHECK_FALSE(try_load_image(items[1], pixels).has_value());
}

TEST_CASE("a picture is as large as it is stored, however it is loaded") {
  const TestFolder folder;
  folder.write("a.png", picture(64, 96, {1, 2, 3}));
  folder.write("a.txt", std::string("a cat\n"));
  Report report;
  Item item = open_dataset(folder.path.string(), report).at(0);
  item.width = 32, item.height = 48, item.stored_px = 32;
  CHECK(load_image(item).width == 32);
  const auto tried = try_load_image(item, report);
  REQUIRE(tried.has_value());
  CHECK(tried->width == 32);
  CHECK(tried->height == 48);
}

TEST_CASE("cut-outs are drawn whole on their background, opaque pictures fill the frame") {
  const TestFolder folder;
  folder.write("cut.png", picture(20, 10, {200, 0, 0}, 4));
  folder.write("cut.txt", std::string("a"));
  folder.write("photo.png", picture(20, 10, {200, 0, 0}));
  folder.write("photo.txt", std::string("a"));
  Report report;
  const auto items = open_dataset(folder.path.string(), report);
  REQUIRE(items.size() == 2);
  CHECK(render_item(items[0], 16).at(8, 0)[1] == 255);
  CHECK(render_item(items[0], 16, {0, 0, 255}).at(8, 15)[2] == 255);
  CHECK(render_item(items[0], 16).at(8, 8)[0] == 200);
  CHECK(render_item(items[1], 16, 24) == image::filled(16, 24, {200, 0, 0}));
}
