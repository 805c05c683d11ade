// Tests the choice of what is drawn.
#include "eval/cases.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "core/error.h"

namespace pangu::eval {
namespace {

std::vector<data::Item> made_items() {
  std::vector<data::Item> items;
  for (int concept_number = 0; concept_number < 30; ++concept_number) {
    for (const char* style : {"3d", "flat", "shaded"}) {
      data::Item item;
      item.concept_id = "c" + std::to_string(concept_number);
      item.style = style;
      item.id = item.concept_id + style;
      item.captions_en = {item.concept_id + " " + style, "another"};
      item.captions_zh = {"概念" + item.concept_id + style};
      item.split = concept_number >= 25                                      ? "heldout_concept"
                   : concept_number % 3 == 0 && style == std::string("flat") ? "heldout_pair"
                                                                             : "train";
      items.push_back(item);
    }
  }
  return items;
}

TEST_CASE("every group gives as many cases as asked, or all of its concepts, once each") {
  const auto items = made_items();
  const auto cases = choose_cases(items, 10, 100);
  std::map<std::string, std::set<std::string>> concepts;
  std::map<std::string, int> count;
  for (const Case& c : cases) {
    CHECK(items[c.item].split == c.group);
    CHECK(c.prompt("en") == items[c.item].captions_en[0]);
    CHECK(c.prompt("zh") == items[c.item].captions_zh[0]);
    concepts[c.group].insert(items[c.item].concept_id);
    ++count[c.group];
  }
  CHECK(count ==
        std::map<std::string, int>{{"train", 10}, {"heldout_pair", 9}, {"heldout_concept", 5}});
  for (const auto& [group, n] : count) CHECK(int(concepts[group].size()) == n);
  CHECK(cases.front().seed == 100);
  CHECK(cases.back().seed == 100 + cases.size() - 1);
}

TEST_CASE("the choice does not depend on the order of the dataset, and more keeps the fewer") {
  auto items = made_items();
  const auto names = [&](size_t count) {
    std::vector<std::string> found;
    for (const Case& c : choose_cases(items, count, 0)) {
      if (c.group == "train") found.push_back(items[c.item].id);
    }
    return found;
  };
  const auto few = names(4), many = names(12);
  CHECK(std::equal(few.begin(), few.end(), many.begin()));
  std::reverse(items.begin(), items.end());
  CHECK(names(12) == many);
}

TEST_CASE("a dataset that says no concepts cannot be scored") {
  auto items = made_items();
  for (auto& item : items) item.concept_id.clear();
  CHECK_THROWS_WITH_AS(choose_cases(items, 10, 0), doctest::Contains("concept_id"), Error);
}

TEST_CASE("names are numbered in the order of the items") {
  const auto items = made_items();
  CHECK(styles_of(items).by_number == std::vector<std::string>{"3d", "flat", "shaded"});
  CHECK(concepts_of(items).number.at("c7") == 7);
}

}  // namespace
}  // namespace pangu::eval
