#include "data/picture_folder.h"

#include <doctest/doctest.h>

#include "core/testing.h"
#include "data/dataset.h"
#include "data/file_names.h"
#include "data/folder_files.h"
#include "data/pack.h"

using namespace pangu;
using namespace pangu::data;
namespace fs = std::filesystem;

namespace {

using Texts = std::vector<std::string>;

std::string grey(int width = 8) {
  const image::Bytes bytes = image::encode_png(image::filled(width, 8, {7, 7, 7}));
  return {bytes.begin(), bytes.end()};
}

// "id: first caption" of every item, in order.
Texts seen_in(const std::string& folder, Report& report_) {
  Texts seen;
  for (const Item& item : open_dataset(folder, report_)) {
    seen.push_back(item.id + ": " + captions_of(item, "all").front());
  }
  return seen;
}

bool reports(const Report& report, const std::string& part) {
  return contains(report.text(), part);
}

}  // namespace

TEST_CASE("a name's suffix begins at its last dot, and in an archive at its first") {
  CHECK(split_at_last_dot("a.b/c.d.PNG").stem == "a.b/c.d");
  CHECK(split_at_last_dot("a.b/c.d.PNG").suffix == "png");
  CHECK(split_at_first_dot("a.b/c.D.png").stem == "a.b/c");
  CHECK(split_at_first_dot("a.b/c.D.png").suffix == "d.png");
  CHECK(split_at_last_dot("a.b/c").suffix == "");
  CHECK(split_at_first_dot("a/.hidden.png").suffix == "");
  CHECK(split_at_last_dot("a/.hidden").suffix == "");
  CHECK(is_hidden("a/.hidden.png"));
  CHECK_FALSE(is_hidden("a/b.png"));
  CHECK(folder_in("a/b/c.png") == "a/b/");
  CHECK(folder_in("c.png") == "");
}

TEST_CASE("suffixes of pictures and captions are found in upper and lower case") {
  const TestFolder folder;
  folder.write("a.PNG", grey()), folder.write("a.TXT", std::string("one"));
  folder.write("b.png", grey()), folder.write("b.Caption", std::string("two"));
  folder.write("c.Jfif", grey()), folder.write("c.txt", std::string("three"));
  folder.write("d.png", grey());
  folder.write("d.caption", std::string("not this")), folder.write("d.txt", std::string("four"));
  Report report;
  CHECK(seen_in(folder.path.string(), report) == Texts{"a: one", "b: two", "c: three", "d: four"});
  CHECK(report.is_clean());
}

TEST_CASE("a link counts where it lies, with the captions beside it") {
  const TestFolder folder;
  folder.write("real/a.png", grey()), folder.write("real/a.txt", std::string("real"));
  folder.write("data/own.txt", std::string("my own"));
  folder.write("blobs/0123", grey()), folder.write("blobs/4567", std::string("of a cache"));
  fs::create_symlink("../real/a.png", folder.path / "data/own.png");
  fs::create_symlink("../blobs/0123", folder.path / "data/blob.png");
  fs::create_symlink("../blobs/4567", folder.path / "data/blob.txt");
  fs::create_symlink("../real", folder.path / "data/linked");
  fs::create_symlink(folder.path / "data", folder.path / "root");
  const Texts all = {"blob: of a cache", "linked/a: real", "own: my own"};
  Report report;
  CHECK(seen_in(folder.file("data"), report) == all);
  CHECK(seen_in(folder.file("root"), report) == all);
  CHECK(report.is_clean());
}

TEST_CASE("links in a circle end, broken links are counted and named") {
  const TestFolder folder;
  folder.write("a.png", grey()), folder.write("a.txt", std::string("a"));
  folder.write("inner/b.png", grey()), folder.write("inner/b.txt", std::string("b"));
  fs::create_symlink(".", folder.path / "self");
  fs::create_symlink("../inner", folder.path / "inner/again");
  fs::create_symlink("nowhere", folder.path / "gone.png");
  fs::create_symlink("circle.png", folder.path / "circle.png");
  Report report;
  CHECK(seen_in(folder.path.string(), report) == Texts{"a: a", "inner/b: b"});
  CHECK(report.warned == 2);
  CHECK(reports(report,
                "warning 2: a link to a folder that holds it is not followed: inner/again, self"));
  CHECK(report.skipped == 2);
  CHECK(reports(report, "skipped 2: a broken link: circle.png, gone.png"));
}

TEST_CASE("what is no part of a dataset is counted by suffix, pictures of other formats by name") {
  const TestFolder folder;
  folder.write("a.png", grey()), folder.write("a.txt", std::string("a"));
  folder.write("a.npz", std::string("latents")), folder.write("b.npz", std::string("latents"));
  folder.write("README", std::string("words")), folder.write("LICENSE.txt", std::string("words"));
  folder.write("._a.png", std::string("\0\5\26\7", 4));
  folder.write(".git/x.png", std::string("x"));
  folder.write("scan.TIFF", std::string("II*")), folder.write("scan.txt", std::string("a scan"));
  Report report;
  CHECK(seen_in(folder.path.string(), report) == Texts{"a: a"});
  CHECK(report.skipped == 1);
  CHECK(reports(report, "skipped scan.TIFF: picture: expected PNG, JPEG or WebP, found .tiff"));
  const std::map<std::string, int64_t> others = {
      {"npz", 2}, {"without suffix", 1}, {"txt", 2}, {"hidden", 2}};
  CHECK(report.passed_over == others);
  CHECK(reports(report, "2 npz"));
}

TEST_CASE("metadata.jsonl of Hugging Face captions the pictures of its folder") {
  const TestFolder folder;
  for (const char* name : {"train/0.png", "train/1.png", "train/sub/2.png", "train/3.png"}) {
    folder.write(name, grey());
  }
  folder.write("train/3.txt", std::string("beside it"));
  folder.write("train/metadata.jsonl", std::string(R"({"file_name":"0.png","text":"a fox"}
{"file_name":"0.png","text":"the same fox"}
{"file_name":"./1.png","text":"two","style":7}
{"file_name":"sub/2.png","caption":"three"}
{"file_name":"3.png","text":"four"}
{"file_name":"gone.png","text":"five"}
{"text":"of nothing"})"));
  Report report;
  const auto items = open_dataset(folder.path.string(), report);
  REQUIRE(items.size() == 4);
  CHECK(items[0].captions_en == Texts{"a fox", "the same fox"});
  CHECK(items[1].captions_en == Texts{"two"});
  CHECK(items[2].captions_en == Texts{"beside it"});
  CHECK(items[3].captions_en == Texts{"three"});
  CHECK(report.skipped == 0);
  CHECK(report.warned == 3);
  CHECK(reports(report, "'style'"));
  CHECK(reports(report, "gone.png: described, but not in the folder"));
  CHECK(reports(report, "metadata.jsonl:7"));
  CHECK(report.passed_over.empty());
}

TEST_CASE("the metadata of kohya's trainer captions pictures by name, with suffix or without") {
  const TestFolder folder;
  for (const char* name : {"0.png", "1.png", "2.png"}) folder.write(name, grey());
  folder.write("meta_cap.json", std::string(R"({"0.png":{"caption":"an earlier stage"}})"));
  folder.write("meta_lat.json",
               std::string(R"({"0.png":{"caption":"a fox","tags":"fox, red"},"1":{"tags":"one"},)"
                           R"("/elsewhere/2.png":{"caption":"two"}})"));
  Report report;
  CHECK(seen_in(folder.path.string(), report) == Texts{"0: a fox, fox, red", "1: one", "2: two"});
  CHECK(report.is_clean());
}

TEST_CASE("a folder with a number in front repeats its pictures and captions them") {
  const TestFolder folder;
  folder.write("10_red fox/a.png", grey()), folder.write("10_red fox/sub/b.png", grey());
  folder.write("10_red fox/b.txt", std::string("of nothing"));
  folder.write("2_owl/c.png", grey()), folder.write("2_owl/c.txt", std::string("an owl"));
  folder.write("2024_holiday/d.png", grey()), folder.write("2024_holiday/d.txt", std::string("d"));
  folder.write("0_none/e.png", grey()), folder.write("0_none/e.txt", std::string("e"));
  folder.write("f/3_x/f.png", grey()), folder.write("f/3_x/f.txt", std::string("f"));
  Report report;
  const auto items = open_dataset(folder.path.string(), report);
  Texts found;
  for (const Item& item : items) {
    found.push_back(item.id + " " + std::to_string(item.repeats) + " " + item.captions_en.front());
  }
  CHECK(found == Texts{"0_none/e 1 e", "10_red fox/a 10 red fox", "10_red fox/sub/b 10 red fox",
                       "2024_holiday/d 1 d", "2_owl/c 2 an owl", "f/3_x/f 1 f"});
  // Repeats go with the pictures into shards.
  pack_shards(items, folder.file("shards"), {}, report);
  Report again;
  CHECK(open_dataset(folder.file("shards"), again)[1].repeats == 10);
}

TEST_CASE("JSON beside a picture in a folder captions it unless a text does") {
  const TestFolder folder;
  folder.write("0.png", grey()), folder.write("0.json", std::string(R"({"caption":"of json"})"));
  folder.write("1.png", grey()), folder.write("1.json", std::string(R"({"caption":"of json"})"));
  folder.write("1.txt", std::string("of text"));
  folder.write("2.png", grey()), folder.write("2.json", std::string(R"({"caption":"of json"})"));
  folder.write("2.txt", std::string("caf\xe9"));
  Report report;
  CHECK(seen_in(folder.path.string(), report) == Texts{"0: of json", "1: of text", "2: of json"});
  CHECK(report.warned == 1);
  CHECK(reports(report, "warning 2.png: caption file"));
}

TEST_CASE("a folder that cannot be read is named") {
  const TestFolder folder;
  Report report;
  CHECK(files_under(folder.file("none"), report).empty());
  CHECK(report.skipped == 1);
}
