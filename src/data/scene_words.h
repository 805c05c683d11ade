// The English and Chinese of composed scenes: plurals, articles, numerals, measure words, colours.
// Exact by construction: each function puts into words what the scene's plan says, and nothing
// else.
#pragma once
#include <string>
#include <vector>

#include "image/image.h"

namespace pangu::data {

struct NamedColour {
  const char* en;
  const char* zh;
  image::Color color;
};

// The colours of backgrounds; the first is white.
const std::vector<NamedColour>& background_colours();

// "an owl", "a unicorn": by sound where the letter misleads.
std::string with_article(const std::string& words);

// The plural of a noun phrase, by its last word: "snow leopard" -> "snow leopards".
std::string plural_of(const std::string& words);

// A thing as the words name it. REQUIRES: name_en and name_zh not empty.
struct ThingWords {
  std::string name_en, name_zh;      // "red apple", "红苹果"
  std::string measure_zh;            // "个"; empty for what is not counted ("火焰")
  bool has_article = true;           // false: "fire", "the sun"
  std::string phrase_en;             // with its article: "a red apple", "the sun"
  std::string colour_en, colour_zh;  // to be said in front; empty: not said
};

std::string one_en(const ThingWords& thing);              // "an orange cat", "fire"
std::string one_zh(const ThingWords& thing);              // "一只橙色的猫", "火焰"
std::string bare_zh(const ThingWords& thing);             // "橙色的猫": as a place of reference
std::string many_en(const ThingWords& thing, int count);  // "three orange cats"; count 2..4
std::string many_zh(const ThingWords& thing, int count);  // "三只橙色的猫"

// "a cat, a dog and an owl"; "一只猫、一只狗和一只猫头鹰".
std::string list_en(const std::vector<std::string>& things);
std::string list_zh(const std::vector<std::string>& things);

}  // namespace pangu::data
