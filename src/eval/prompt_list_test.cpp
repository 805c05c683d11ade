// Tests lists of prompts and the two benchmarks' files.
#include "eval/prompt_list.h"

#include <doctest/doctest.h>

#include "core/testing.h"
#include "eval/coco_presets.h"

namespace pangu::eval {
namespace {

TEST_CASE(
    "lists of several tools are read, and lines without a name get their "
    "number") {
  const auto found = parse_prompt_list(
      "{\"file\": \"a.b.png\", \"prompt\": \"a red apple\", \"seed\": 7}\n\n"
      "{\"file_name\": \"c.jpg\", \"text\": \"\xE7\xBA\xA2\", \"other\": 1}\r\n"
      "{\"image_id\": 42, \"caption\": \"a dog\"}\n{\"prompt\": \"a cat\"}",
      "list");
  REQUIRE(found.size() == 4);
  CHECK(found[0] == NamedPrompt{"a.b", "a red apple", 7});
  CHECK(found[1] == NamedPrompt{"c", "\xE7\xBA\xA2", std::nullopt});
  CHECK(found[2].name == "000042");
  CHECK(found[3] == NamedPrompt{"000003", "a cat", std::nullopt});
  CHECK(stem_of("folder/000042.webp") == "000042");
  CHECK(stem_of("v1.5") == "v1.5");
}

TEST_CASE("a line that cannot be meant is refused by its number") {
  const auto refusal = [](const std::string& line) {
    return refusal_of(
        [&] { parse_prompt_list("{\"prompt\": \"first\", \"file\": \"a\"}\n" + line, "list"); });
  };
  for (const char* line :
       {"{\"file\": \"b\"}", "{\"prompt\": \"\"}", "[1]", "{\"prompt\": 3}",
        "{\"prompt\": \"x\", \"file\": \"../b\"}", "{\"prompt\": \"x\", \"file\": \"..\"}",
        "{\"prompt\": \"x\", \"file\": \"a.png\"}", "{\"prompt\": \"x\", \"seed\": -1}",
        "not JSON"}) {
    CAPTURE(line);
    CHECK(contains(refusal(line), "line 2"));
  }
  CHECK(contains(refusal_of([] { parse_prompt_list("\n", "list"); }), "list"));
}

TEST_CASE(
    "COCO's captions are drawn by a fixed seed, each once, without white "
    "space behind them") {
  std::string json = "{\"images\": [], \"annotations\": [";
  for (int id = 9; id >= 0; --id) {
    json += "{\"image_id\": 5, \"id\": " + std::to_string(id) + ", \"caption\": \"c" +
            std::to_string(id) + " \\n\"}" + (id ? "," : "]}");
  }
  const auto found = coco_captions(json, 3, "file");
  // numpy.random.RandomState(2020).permutation(10)[:3] == [2, 4, 9]
  REQUIRE(found.size() == 3);
  CHECK(found[0] == NamedPrompt{"000000000002", "c2", std::nullopt});
  CHECK(found[1].prompt == "c4");
  CHECK(found[2].name == "000000000009");
  CHECK(contains(refusal_of([&] { coco_captions(json, 11, "file"); }), "11 captions"));
  CHECK(refusal_of([] { coco_captions("[]", 1, "file"); }) != "accepted");
  CHECK(refusal_of([] { coco_captions("{\"annotations\": [3]}", 1, "file"); }) != "accepted");
}

TEST_CASE("of COCO-CN every picture of the split has its first caption") {
  const std::string captions =
      "COCO_val2014_1#0\t\xE7\xBA\xA2 "
      "\xE8\x89\xB2\nCOCO_val2014_1#1\tb\nCOCO_val2014_2#zhm#0 c\r\n";
  const auto found = coco_cn_captions(captions, "COCO_val2014_2\nCOCO_val2014_1\n", "file");
  REQUIRE(found.size() == 2);
  CHECK(found[0] == NamedPrompt{"COCO_val2014_2", "c", std::nullopt});
  CHECK(found[1].prompt == "\xE7\xBA\xA2 \xE8\x89\xB2");
  CHECK(contains(refusal_of([&] { coco_cn_captions(captions, "COCO_val2014_3", "file"); }), "_3"));
}

TEST_CASE("a benchmark says which files to fetch") {
  const TestFolder folder;
  CHECK(contains(refusal_of([&] { open_benchmark("coco-2014", folder.path.string()); }),
                 "annotations_trainval2014.zip"));
  CHECK(contains(refusal_of([&] { open_benchmark("coco-cn", folder.path.string()); }), "coco-cn"));
  CHECK(contains(refusal_of([] { open_benchmark("coco-cn", ""); }), "--data"));
  CHECK(contains(refusal_of([] { open_benchmark("imagenet", "."); }), "coco-2014"));
}

}  // namespace
}  // namespace pangu::eval
