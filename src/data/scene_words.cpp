// Words of scenes. Small closed tables: the things come with their own names and measure words.
#include "data/scene_words.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/error.h"

namespace pangu::data {
namespace {

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

bool is_vowel(char c) { return std::string("aeiou").find(c) != std::string::npos; }

std::string plural_of_word(const std::string& word) {
  static const std::vector<std::pair<std::string, std::string>> kIrregular = {
      {"mouse", "mice"},    {"tooth", "teeth"},    {"foot", "feet"},        {"goose", "geese"},
      {"ox", "oxen"},       {"child", "children"}, {"person", "people"},    {"wolf", "wolves"},
      {"leaf", "leaves"},   {"knife", "knives"},   {"scarf", "scarves"},    {"loaf", "loaves"},
      {"elf", "elves"},     {"cactus", "cacti"},   {"human", "humans"},     {"sheep", "sheep"},
      {"deer", "deer"},     {"bison", "bison"},    {"shrimp", "shrimp"},    {"squid", "squid"},
      {"moose", "moose"},   {"series", "series"},  {"tomato", "tomatoes"},  {"potato", "potatoes"},
      {"mango", "mangoes"}, {"hero", "heroes"},    {"volcano", "volcanoes"}};
  for (const auto& [one, many] : kIrregular) {
    if (word == one) return many;
  }
  if (ends_with(word, "fish")) return word;
  if (ends_with(word, "man")) return word.substr(0, word.size() - 3) + "men";
  for (const char* hiss : {"s", "x", "z", "ch", "sh"}) {
    if (ends_with(word, hiss)) return word + "es";
  }
  if (word.size() > 1 && word.back() == 'y' && !is_vowel(word[word.size() - 2])) {
    return word.substr(0, word.size() - 1) + "ies";
  }
  return word + "s";
}

std::string coloured_en(const ThingWords& thing) {
  return thing.colour_en.empty() ? thing.name_en : thing.colour_en + " " + thing.name_en;
}

std::string joined(const std::vector<std::string>& things, const char* comma, const char* last) {
  std::string text;
  for (size_t i = 0; i < things.size(); ++i) {
    if (i > 0) text += i + 1 == things.size() ? last : comma;
    text += things[i];
  }
  return text;
}

void check_count(int count) {
  if (count < 2 || count > 4) throw Error(ErrorCode::kInternal, "scenes count from two to four");
}

}  // namespace

const std::vector<NamedColour>& background_colours() {
  static const std::vector<NamedColour> kColours = {
      {"white", "白色", {255, 255, 255}}, {"grey", "灰色", {150, 150, 150}},
      {"black", "黑色", {20, 20, 20}},    {"red", "红色", {220, 40, 40}},
      {"orange", "橙色", {245, 150, 40}}, {"yellow", "黄色", {250, 225, 70}},
      {"green", "绿色", {70, 180, 80}},   {"blue", "蓝色", {60, 120, 230}},
      {"purple", "紫色", {140, 80, 200}}, {"pink", "粉色", {250, 170, 195}},
      {"brown", "棕色", {140, 95, 60}}};
  return kColours;
}

std::string with_article(const std::string& words) {
  // Written with a vowel and spoken with "you" or "won"; and the silent h.
  for (const char* you : {"uni", "uku", "eu", "ute", "one", "once"}) {
    if (words.rfind(you, 0) == 0) return "a " + words;
  }
  for (const char* silent : {"hour", "honest"}) {
    if (words.rfind(silent, 0) == 0) return "an " + words;
  }
  const bool vowel = !words.empty() && is_vowel(words[0]);
  return (vowel ? "an " : "a ") + words;
}

std::string plural_of(const std::string& words) {
  const size_t space = words.rfind(' ');
  const size_t start = space == std::string::npos ? 0 : space + 1;
  return words.substr(0, start) + plural_of_word(words.substr(start));
}

std::string one_en(const ThingWords& thing) {
  if (thing.colour_en.empty()) return thing.phrase_en;
  return thing.has_article ? with_article(coloured_en(thing)) : coloured_en(thing);
}

std::string bare_zh(const ThingWords& thing) {
  return thing.colour_zh.empty() ? thing.name_zh : thing.colour_zh + "的" + thing.name_zh;
}

std::string one_zh(const ThingWords& thing) {
  return thing.measure_zh.empty() ? bare_zh(thing) : "一" + thing.measure_zh + bare_zh(thing);
}

std::string many_en(const ThingWords& thing, int count) {
  check_count(count);
  static constexpr std::array kNumerals = {"two", "three", "four"};
  return std::string(kNumerals[count - 2]) + " " + plural_of(coloured_en(thing));
}

std::string many_zh(const ThingWords& thing, int count) {
  check_count(count);
  static constexpr std::array kNumerals = {"两", "三", "四"};
  return kNumerals[count - 2] + (thing.measure_zh.empty() ? "个" : thing.measure_zh) +
         bare_zh(thing);
}

std::string list_en(const std::vector<std::string>& things) {
  return joined(things, ", ", " and ");
}

std::string list_zh(const std::vector<std::string>& things) { return joined(things, "、", "和"); }

}  // namespace pangu::data
