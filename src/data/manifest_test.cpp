#include "data/manifest.h"

#include <doctest/doctest.h>

#include <string>

#include "core/error.h"
#include "core/testing.h"

using namespace pangu;
using namespace pangu::data;

namespace {

std::string refusal(const std::string& line) {
  return refusal_of([&] { parse_manifest_line(line); });
}

const std::string kLine =
    R"({"file":"images/3d/1f34e.webp","concept":"red apple","concept_id":"1f34e",)"
    R"("group":"food-drink","style":"3d","part":"high","split":"heldout_pair","licence":"MIT",)"
    R"("source":"package@1","width":256,"height":128,"names":{"en":"red apple","zh":"红苹果"},)"
    R"("phrase_en":"a red apple","measure_zh":"个","repeats":7,"colour":{"en":"red","zh":"红色"},"other":[1],)"
    R"("captions":{"en":["a red apple","apple"],"zh":["红苹果"]}})";

}  // namespace

TEST_CASE("a full manifest line gives every field") {
  const Item item = parse_manifest_line(kLine);
  CHECK(item.bytes.path == "images/3d/1f34e.webp");
  CHECK(item.id == "images/3d/1f34e");
  CHECK(item.concept_name == "red apple");
  CHECK(item.concept_id == "1f34e");
  CHECK(item.group == "food-drink");
  CHECK(item.style == "3d");
  CHECK(item.part == "high");
  CHECK(item.split == "heldout_pair");
  CHECK(item.licence == "MIT");
  CHECK(item.source == "package@1");
  CHECK(item.width == 256);
  CHECK(item.height == 128);
  CHECK(item.name_zh == "红苹果");
  CHECK(item.phrase_en == "a red apple");
  CHECK(item.measure_zh == "个");
  CHECK(item.colour_zh == "红色");
  CHECK(item.repeats == 7);
  CHECK(captions_of(item, "en") == std::vector<std::string>{"a red apple", "apple"});
  CHECK(captions_of(item, "zh") == std::vector<std::string>{"红苹果"});
  CHECK(captions_of(item, "all").size() == 3);
}

TEST_CASE("a line that is written is read back the same") {
  const Item item = parse_manifest_line(kLine);
  const Item again = parse_manifest_line(manifest_line(item, item.bytes.path));
  CHECK(manifest_line(again, again.bytes.path) == manifest_line(item, item.bytes.path));
  CHECK(again.captions_zh == item.captions_zh);
  CHECK(again.split == "heldout_pair");
  Item odd;
  odd.id = "bad\xff name";  // a file's name need not be UTF-8
  odd.captions_en = {"x"};
  CHECK(parse_manifest_line(manifest_line(odd, "a.png")).captions_en == odd.captions_en);
}

TEST_CASE("file and captions are enough, and null counts as absent") {
  const Item item = parse_manifest_line(
      R"({"file":"a.png","colour":null,"width":null,"captions":["a cat","一只猫"]})");
  CHECK(item.captions_en == std::vector<std::string>{"a cat"});
  CHECK(item.captions_zh == std::vector<std::string>{"一只猫"});
  CHECK(item.split == "train");
  CHECK(item.width == 0);
  CHECK(parse_manifest_line(R"({"file":"a.png","caption":"狗"})").captions_zh.size() == 1);
  CHECK(parse_manifest_line(R"({"file":"a.png","captions":"a dog"})").captions_en.size() == 1);
}

TEST_CASE("a file may not lie outside the dataset") {
  for (const char* file : {"/etc/x.png", "../x.png", "a/../../x.png", "a/..", "", "a\\u0000.png"}) {
    CAPTURE(file);
    CHECK(contains(refusal(std::string(R"({"file":")") + file + R"(","captions":["a"]})"),
                   "inside the dataset"));
  }
  CHECK(refusal(R"({"file":"a..b/..c.png","captions":["a"]})") == "accepted");
}

TEST_CASE("malformed lines are refused with the fault") {
  CHECK(contains(refusal("{"), "JSON"));
  CHECK(contains(refusal("[]"), "a JSON object"));
  CHECK(contains(refusal(R"({"file":"a.png"})"), "a caption"));
  CHECK(contains(refusal(R"({"file":"a.png","captions":{"en":[],"zh":[""]}})"), "a caption"));
  CHECK(contains(refusal(R"({"file":"a.png","captions":{"en":"x"}})"), "a list"));
  CHECK(contains(refusal(R"({"file":"a.png","captions":[1]})"), "text"));
  CHECK(contains(refusal(R"({"file":"a.png","captions":7})"), "{en, zh} or a list"));
  CHECK(contains(refusal(R"({"file":7,"captions":["a"]})"), "'file'"));
  CHECK(contains(refusal(R"({"file":"a.png","width":0,"captions":["a"]})"), "'width'"));
  CHECK(contains(refusal(R"({"file":"a.png","width":1e99,"captions":["a"]})"), "'width'"));
  CHECK(contains(refusal(R"({"file":"a.png","height":-5,"captions":["a"]})"), "'height'"));
  CHECK(contains(refusal(R"({"file":"a.png","repeats":0,"captions":["a"]})"), "1 to 999"));
  CHECK(contains(refusal(R"({"file":"a.png","repeats":1000,"captions":["a"]})"), "1 to 999"));
  CHECK(contains(refusal(R"({"file":"a.png","names":[],"captions":["a"]})"), "'names'"));
  CHECK(contains(refusal("{\"file\":\"a.png\",\"captions\":[\"\xff\"]}"), "JSON"));
  CHECK(contains(refusal(std::string((1 << 20) + 1, ' ')), "at most 1048576 bytes"));
  CHECK(contains(refusal("{\"x\":" + std::string(100000, '[')), "at most 8 levels"));
  std::string many = R"({"file":"a.png","captions":["a")";
  for (int i = 0; i < 1024; ++i) many += ",\"a\"";
  CHECK(contains(refusal(many + "]}"), "at most 1024"));
  CHECK(contains(refusal(R"({"file":"a.png","captions":[")" + std::string(20000, 'a') + "\"]}"),
                 "16 KiB"));
}
