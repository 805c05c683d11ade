#include "data/captions.h"

#include <doctest/doctest.h>

#include <string>

#include "core/error.h"
#include "core/testing.h"

using namespace pangu;
using namespace pangu::data;
using namespace std::string_literals;

namespace {

using Texts = std::vector<std::string>;

Texts english_of(const std::string& json) { return parse_foreign_json(json).item.captions_en; }

std::string text_refusal(std::string_view text) {
  return refusal_of([&] {
    Item item;
    parse_caption_text(text, item);
  });
}

}  // namespace

TEST_CASE("a caption file gives one caption a line, by script, without marks of editors") {
  Item item;
  parse_caption_text("\xEF\xBB\xBF a cat \r\n\r\n一只猫\n  \nthe last", item);
  CHECK(item.captions_en == Texts{"a cat", "the last"});
  CHECK(item.captions_zh == Texts{"一只猫"});
  Item lone_returns;  // of old Macs
  parse_caption_text("a red fox\ra fox that is red\r", lone_returns);
  CHECK(lone_returns.captions_en == Texts{"a red fox", "a fox that is red"});
}

TEST_CASE("a caption file in UTF-16 is read, one in another encoding is refused with the way out") {
  Item item;
  parse_caption_text(
      "\xFF\xFE"
      "f\0o\0x\0\r\0\n\0\x2B\x73\n\0"s,
      item);
  CHECK(item.captions_en == Texts{"fox"});
  CHECK(item.captions_zh == Texts{"猫"});
  CHECK(contains(text_refusal("\xBA\xEC\xC9\xAB\xB5\xC4"), "iconv -f GBK"));
  CHECK(contains(text_refusal("caf\xe9"), "UTF-16"));
  CHECK(contains(text_refusal("\n \n"), "a caption"));
  CHECK(contains(text_refusal(""), "a caption"));
}

TEST_CASE("foreign JSON gives its caption under each of the usual keys") {
  CHECK(english_of(R"({"caption":"a fox","url":"x"})") == Texts{"a fox"});
  CHECK(english_of(R"({"text":"a fox"})") == Texts{"a fox"});
  CHECK(english_of(R"({"prompt":"a fox"})") == Texts{"a fox"});
  CHECK(english_of(R"({"tags":["fox","red"]})") == Texts{"fox, red"});
  CHECK(english_of(R"({"caption":null,"text":"a fox"})") == Texts{"a fox"});
  CHECK(english_of(R"({"caption":"a fox","text":"another"})") == Texts{"a fox"});
  CHECK(english_of(R"({"captions":["ours"],"caption":"another"})") == Texts{"ours"});
  CHECK(parse_foreign_json(R"({"captions":["ours"]})").own_captions);
  CHECK_FALSE(parse_foreign_json(R"({"caption":"a fox"})").own_captions);
}

TEST_CASE("a field of foreign JSON that does not fit costs that field only") {
  for (const char* field :
       {R"("id":12345)", R"("style":["x"])", R"("source":{"a":1})", R"("part":3)",
        R"("names":["a"])", R"("captions":7)", R"("repeats":-1)", R"("licence":["cc0"])"}) {
    CAPTURE(field);
    const auto said =
        parse_foreign_json("{" + std::string(field) + R"(,"caption":"a fox","group":"animals"})");
    CHECK(said.item.captions_en == Texts{"a fox"});
    CHECK(said.item.group == "animals");
    REQUIRE(said.dropped.size() == 1);
    const std::string key(field, 1, std::string(field).find('"', 1) - 1);
    CHECK(contains(said.dropped[0], key));
  }
  // Sizes are those of the picture, whatever the JSON says of the original.
  for (const char* field : {R"("width":640)", R"("width":80.0)", R"("split":null)",
                            R"("exif":{"a":{"b":{"c":{"d":{"e":{"f":{"g":{"h":{"i":1}}}}}}}}})"}) {
    CAPTURE(field);
    const auto said = parse_foreign_json("{" + std::string(field) + R"(,"caption":"a fox"})");
    CHECK(said.item.captions_en == Texts{"a fox"});
    CHECK(said.item.width == 0);
    CHECK(said.dropped.empty());
  }
}

TEST_CASE("foreign JSON with Python's numbers is read, and no JSON at all is said") {
  CHECK(english_of(R"({"similarity":NaN,"a":[Infinity,-Infinity],"caption":"a \"NaN\" fox"})") ==
        Texts{"a \"NaN\" fox"});
  for (const char* text : {"", "{", "[\"a fox\"]", "NaN", "\"NaN", "{\"caption\":\"\xff\"}"}) {
    CAPTURE(text);
    const auto said = parse_foreign_json(text);
    CHECK_FALSE(has_caption(said.item));
    CHECK(said.dropped.size() == 1);
  }
}

TEST_CASE("a line of metadata.jsonl names its picture, inside the folder") {
  const MetadataLine line = parse_metadata_line(R"({"file_name":"a/0.png","text":"a fox"})");
  CHECK(line.file_name == "a/0.png");
  CHECK(line.said.item.captions_en == Texts{"a fox"});
  for (const char* text : {"[]", R"({"text":"a"})", R"({"file_name":7})",
                           R"({"file_name":"../0.png"})", R"({"file_name":"/0.png"})"}) {
    CAPTURE(text);
    CHECK(refusal_of([&] { parse_metadata_line(text); }) != "accepted");
  }
}

TEST_CASE("kohya's metadata gives caption and tags as one caption, and names what does not fit") {
  std::vector<std::string> dropped;
  const auto items = parse_kohya_metadata(
      R"({"0.png":{"caption":"a fox","tags":"fox, red"},"1":{"tags":"fox"},)"
      R"("/elsewhere/2.png":{"caption":"a fox"},"3.png":{"train_resolution":[512,512]},"4.png":7})",
      dropped);
  REQUIRE(items.size() == 3);
  CHECK(items.at("0.png").captions_en == Texts{"a fox, fox, red"});
  CHECK(items.at("1").captions_en == Texts{"fox"});
  CHECK(items.count("/elsewhere/2.png") == 1);
  REQUIRE(dropped.size() == 2);
  CHECK(contains(dropped[0], "3.png"));
  CHECK(contains(dropped[1], "4.png"));
  CHECK(refusal_of([&] { parse_kohya_metadata("[]", dropped); }) != "accepted");
}
