#include "text/infotext.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

using namespace pangu::text;

namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

const char* const kUsual =
    "a (red:1.2) fox, <lora:style:0.7>\nin the snow\nNegative prompt: blurry,\nugly\n"
    "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 4294967297, Size: 512x768, "
    "Model hash: 6ce0161689, Model: v1-5-pruned, Lora hashes: \"style: 0123456789ab, b: c\", "
    "Version: v1.10.1";

}  // namespace

TEST_CASE("a text of the web UI is taken apart as there") {
  const Infotext info = parse_infotext(kUsual);
  CHECK(info.prompt == "a (red:1.2) fox, <lora:style:0.7>\nin the snow");
  CHECK(info.negative == "blurry,\nugly");
  CHECK(info.settings.size() == 9);
  CHECK(info.find("Sampler") == "DPM++ 2M Karras");
  CHECK(info.find("Seed") == "4294967297");
  CHECK(info.find("Lora hashes") == "style: 0123456789ab, b: c");
  CHECK(info.find("Version") == "v1.10.1");
  CHECK_FALSE(info.find("Eta"));
  CHECK(to_text(info) == kUsual);
}

TEST_CASE("a text without settings is all prompt") {
  for (const char* text : {"a cat", "a cat\nwith: a hat, or: a coat", "", "Steps: 4, Seed: 5"}) {
    const Infotext info = parse_infotext(text);
    CHECK(info.prompt == text);
    CHECK(info.settings.empty());
  }
  CHECK(parse_infotext("Steps: 4, Seed: 5, Size: 8x8").prompt.empty());
  CHECK(parse_infotext("Steps: 4, Seed: 5, Size: 8x8").settings.size() == 3);
}

TEST_CASE("values with commas, colons, quotes and lines are quoted and come back") {
  Infotext info;
  info.prompt = "a cat";
  info.settings = {{"Steps", "4"},
                   {"Model", "my model, CFG scale: 99, x"},
                   {"Odd", "say \"hi\",\nor \\ not: 一只猫"},
                   {"Half", "\"open"},
                   {"Last", "x"}};
  const Infotext again = parse_infotext(to_text(info));
  CHECK(again.prompt == info.prompt);
  CHECK(again.settings == info.settings);
}

TEST_CASE("whatever the settings are, they are read back") {
  rc::check([](const std::vector<std::string>& values) {
    Infotext info;
    info.prompt = "a cat";
    info.negative = "a dog";
    for (const std::string& value : values) {
      std::string plain;
      for (const char c : value) plain += c >= ' ' && c < 0x7F ? c : '\n';
      // Blanks at the ends and quotes around a plain value belong to the format.
      info.settings.emplace_back("Key " + std::to_string(info.settings.size()), "x" + plain + ",");
    }
    while (info.settings.size() < 3) info.settings.emplace_back("More", "1");
    const Infotext again = parse_infotext(to_text(info));
    RC_ASSERT(again.prompt == info.prompt);
    RC_ASSERT(again.negative == info.negative);
    RC_ASSERT(again.settings == info.settings);
  });
}
