#include "data/scenes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "core/testing.h"

using namespace pangu;
using namespace pangu::data;

namespace {

Item thing(const std::string& en, const std::string& zh, const std::string& measure,
           const std::string& style = "3d") {
  Item item;
  item.id = style + "/" + en;
  item.name_en = en;
  item.name_zh = zh;
  item.measure_zh = measure;
  item.style = style;
  item.has_alpha = true;
  return item;
}

std::vector<Item> farm() {
  std::vector<Item> items;
  for (const char* style : {"3d", "flat"}) {
    items.push_back(thing("cat", "猫", "只", style));
    items.push_back(thing("dog", "狗", "只", style));
    items.push_back(thing("owl", "猫头鹰", "只", style));
    items.push_back(thing("red apple", "红苹果", "个", style));
    items.push_back(thing("fire", "火焰", "", style));
    items.push_back(thing("house with garden", "带花园的房子", "座", style));  // a scene of its own
    items.push_back(thing("wolf", "狼", "头", style));
    items.push_back(thing("hidden", "隐", "个", style));
    items.back().split = "heldout_pair";
    items.push_back(thing("photo", "照片", "张", style));
    items.back().has_alpha = false;
    for (int i = 0; i < 40; ++i) {
      items.push_back(thing("toy " + std::to_string(i), "玩具" + std::to_string(i), "个", style));
    }
  }
  for (Item& item : items) {
    if (item.name_en == "fire") item.phrase_en = "fire";
    if (item.name_en == "cat") item.colour_en = "orange", item.colour_zh = "橙色";
    if (item.name_en == "red apple") item.colour_en = "red", item.colour_zh = "红色";
  }
  return items;
}

// A red square with a clear border, wider than high.
image::Image cutout(size_t) {
  image::Image picture = image::filled(30, 20, {255, 0, 0}, 4);
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < 30; ++x) {
      if (x < 5 || x >= 25 || y < 5 || y >= 15) picture.at(x, y)[3] = 0;
    }
  }
  return picture;
}

ThingWords words(const std::string& en, const std::string& zh, const std::string& measure,
                 const std::string& colour_en = "", const std::string& colour_zh = "") {
  return {en, zh, measure, true, with_article(en), colour_en, colour_zh};
}

}  // namespace

TEST_CASE("words: articles by sound, plurals by rule and exception, measure words, two as 两") {
  CHECK(with_article("owl") == "an owl");
  CHECK(with_article("unicorn") == "a unicorn");
  CHECK(with_article("hourglass") == "an hourglass");
  CHECK(with_article("umbrella") == "an umbrella");
  for (const auto& [one, many] :
       std::map<std::string, std::string>{{"cat", "cats"},
                                          {"fox", "foxes"},
                                          {"snow leopard", "snow leopards"},
                                          {"wolf", "wolves"},
                                          {"butterfly", "butterflies"},
                                          {"monkey", "monkeys"},
                                          {"snowman", "snowmen"},
                                          {"tropical fish", "tropical fish"},
                                          {"bus", "buses"},
                                          {"wine glass", "wine glasses"},
                                          {"mouse", "mice"},
                                          {"peach", "peaches"}}) {
    CHECK(plural_of(one) == many);
  }
  const ThingWords cat = words("cat", "猫", "只", "orange", "橙色"), dog = words("dog", "狗", "只");
  CHECK(one_en(cat) == "an orange cat");
  CHECK(one_zh(cat) == "一只橙色的猫");
  CHECK(many_en(cat, 3) == "three orange cats");
  CHECK(many_zh(dog, 2) == "两只狗");
  CHECK(list_en({"a", "b", "c"}) == "a, b and c");
  CHECK(list_zh({"一", "二", "三"}) == "一、二和三");
  CHECK_THROWS_AS(many_en(dog, 5), Error);
}

TEST_CASE("a scene is a pure function of seed and index") {
  const auto items = farm();
  const SceneBook a(items, {}), b(items, {});
  std::set<std::string> captions;
  for (uint64_t i = 0; i < 200; ++i) {
    const ScenePlan one = a.training_scene(3, i), two = b.training_scene(3, i);
    CHECK(one.captions_en == two.captions_en);
    CHECK(one.captions_zh == two.captions_zh);
    CHECK(draw_scene(one, cutout).picture == draw_scene(two, cutout).picture);
    captions.insert(one.captions_en[0]);
  }
  CHECK(captions.size() > 120);
  CHECK(a.training_scene(3, 0).captions_en != a.training_scene(4, 0).captions_en);
}

TEST_CASE("only cut-outs that are trained on and plainly named stand in scenes") {
  const auto items = farm();
  const SceneBook book(items, {});
  CHECK(book.thing_count() == 2 * 46);
  for (uint64_t i = 0; i < 2000; ++i) {
    const ScenePlan plan = book.training_scene(1, i);
    for (const SceneThing& thing : plan.things) {
      const Item& item = items[thing.item];
      CHECK(item.split == "train");
      CHECK(item.has_alpha);
      CHECK(item.style == plan.style);
      CHECK(thing.words.name_en == item.name_en);
    }
  }
}

TEST_CASE("no scene has more things than asked for, and fewer things are larger") {
  const std::vector<Item> items = farm();
  SceneOptions options;
  options.single_weight = 0;  // one thing has a size of its own
  double sides[2] = {0, 0};
  for (const int most : {2, 4}) {
    options.most_things = most;
    const SceneBook book(items, options);
    std::set<size_t> counts;
    for (uint64_t i = 0; i < 200; ++i) {
      const ScenePlan plan = book.training_scene(7, i);
      counts.insert(plan.things.size());
      sides[most / 4] += plan.things[0].cell.width;  // of 200 scenes
    }
    CHECK(counts == (most == 2 ? std::set<size_t>{2} : std::set<size_t>{2, 3, 4}));
  }
  CHECK(sides[0] > sides[1]);
}

TEST_CASE("held-out scenes are fixed, different, and never trained on, however they are worded") {
  const auto items = farm();
  const SceneBook book(items, {});
  const auto held = book.held_out_scenes(100);
  CHECK(held.size() == 100);
  std::set<std::string> keys;
  for (const ScenePlan& plan : held) {
    CHECK(is_held_out(plan.key));
    keys.insert(plan.key);
  }
  CHECK(keys.size() == held.size());
  CHECK(book.held_out_scenes(100)[57].captions_zh == held[57].captions_zh);

  // Told by the words of the relation alone, not by the key.
  std::set<std::string> held_positions;
  for (const ScenePlan& plan : held) {
    if (plan.relation == "left of") {
      held_positions.insert(plan.things[0].words.name_en + "<" + plan.things[1].words.name_en);
    }
    if (plan.relation == "right of") {
      held_positions.insert(plan.things[1].words.name_en + "<" + plan.things[0].words.name_en);
    }
  }
  REQUIRE(!held_positions.empty());
  int compared = 0;
  for (uint64_t i = 0; i < 4000; ++i) {
    const ScenePlan plan = book.training_scene(9, i);
    CHECK_FALSE(is_held_out(plan.key));
    CHECK(keys.count(plan.key) == 0);
    if (plan.relation != "left of" && plan.relation != "right of") continue;
    const bool left = plan.relation == "left of";
    const std::string& a = plan.things[left ? 0 : 1].words.name_en;
    const std::string& b = plan.things[left ? 1 : 0].words.name_en;
    CHECK(held_positions.count(a + "<" + b) == 0);
    ++compared;
  }
  CHECK(compared > 300);
}

TEST_CASE("about one key in twenty is held out") {
  int held = 0;
  for (int i = 0; i < 10000; ++i) held += is_held_out("thing " + std::to_string(i) + " above cat");
  CHECK(held > 400);
  CHECK(held < 600);
}

TEST_CASE("captions say what the plan holds, in both languages") {
  const auto items = farm();
  const SceneBook book(items, {});
  std::map<SceneKind, int> kinds;
  for (uint64_t i = 0; i < 3000; ++i) {
    const ScenePlan plan = book.training_scene(5, i);
    ++kinds[plan.kind];
    const std::string &en = plan.captions_en[0], &zh = plan.captions_zh[0];
    CAPTURE(en);
    CAPTURE(zh);
    if (plan.kind == SceneKind::kCount) {
      const char* numerals_en[] = {"two ", "three ", "four "};
      const char* numerals_zh[] = {"两", "三", "四"};
      REQUIRE(plan.things.size() >= 2);
      CHECK(en.rfind(numerals_en[plan.things.size() - 2], 0) == 0);
      CHECK(zh.rfind(numerals_zh[plan.things.size() - 2], 0) == 0);
      CHECK(contains(en, plural_of(plan.things[0].words.name_en)));
      CHECK(plan.things[0].words.name_en != "fire");
    } else {
      for (const SceneThing& thing : plan.things) {
        CHECK(contains(en, thing.words.name_en));
        CHECK(contains(zh, thing.words.name_zh));
      }
    }
    if (plan.kind == SceneKind::kSingle) CHECK(!plan.background_en.empty());
    CHECK(contains(en, "background") == !plan.background_en.empty());
    CHECK(contains(zh, "背景") == !plan.background_en.empty());
    CHECK(contains(zh, plan.background_zh));
    if (plan.background_en.empty()) CHECK(plan.from == image::Color{255, 255, 255});
    CHECK_FALSE(contains(en, "red red"));
  }
  CHECK(kinds.size() == 4);
  for (const auto& [kind, count] : kinds) CHECK(count > 400);
}

TEST_CASE("the wordings of a position agree with each other") {
  const auto items = farm();
  SceneOptions options;
  options.single_weight = options.together_weight = options.count_weight = 0;
  options.white_probability = 1;
  options.colour_probability = 0;
  const SceneBook book(items, options);
  std::set<std::string> relations;
  for (uint64_t i = 0; i < 300; ++i) {
    const ScenePlan plan = book.training_scene(2, i);
    relations.insert(plan.relation);
    const std::string a = one_en(plan.things[0].words), b = one_en(plan.things[1].words);
    const std::string za = plan.things[0].words.name_zh, zb = plan.things[1].words.name_zh;
    if (plan.relation == "left of") {
      CHECK(plan.captions_en[0] == a + " to the left of " + b);
      CHECK(plan.captions_en[1] == b + " to the right of " + a);
      CHECK(plan.captions_zh[0] == zb + "的左边有" + one_zh(plan.things[0].words));
      CHECK(plan.captions_zh[2] == za + "的右边有" + one_zh(plan.things[1].words));
    } else if (plan.relation == "below") {
      CHECK(plan.captions_en[0] == a + " below " + b);
      CHECK(plan.captions_en[1] == b + " above " + a);
      CHECK(plan.captions_zh[1] == one_zh(plan.things[0].words) + "在" + zb + "的下方");
    }
  }
  CHECK(relations.size() == 4);
}

TEST_CASE("things stand where the plan says, inside the picture and apart, at any shape") {
  const auto items = farm();
  for (const auto& [width, height] : {std::pair{256, 256}, {320, 192}, {192, 320}, {64, 64}}) {
    SceneOptions options;
    options.width_px = width;
    options.height_px = height;
    const SceneBook book(items, options);
    for (uint64_t i = 0; i < 400; ++i) {
      const ScenePlan plan = book.training_scene(8, i);
      const DrawnScene scene = draw_scene(plan, cutout);
      REQUIRE(scene.boxes.size() == plan.things.size());
      CHECK(scene.picture.width == width);
      CHECK(scene.picture.height == height);
      for (size_t a = 0; a < scene.boxes.size(); ++a) {
        const image::Box& box = scene.boxes[a];
        CHECK(box.x >= 0);
        CHECK(box.y >= 0);
        CHECK(box.x + box.width <= width);
        CHECK(box.y + box.height <= height);
        CHECK(std::abs(box.width - 2 * box.height) <= 1);  // its visible part is 20x10
        const uint8_t* middle = scene.picture.at(box.x + box.width / 2, box.y + box.height / 2);
        CHECK(middle[0] > 250);
        CHECK(middle[1] < 5);
        for (size_t b = 0; b < a; ++b) {
          const image::Box& other = scene.boxes[b];
          const bool apart = box.x >= other.x + other.width || other.x >= box.x + box.width ||
                             box.y >= other.y + other.height || other.y >= box.y + box.height;
          CHECK(apart);
        }
      }
      if (plan.kind != SceneKind::kPosition) continue;
      const image::Box &a = scene.boxes[0], &b = scene.boxes[1];
      const int dx = (2 * a.x + a.width) - (2 * b.x + b.width);
      const int dy = (2 * a.y + a.height) - (2 * b.y + b.height);
      if (plan.relation == "left of") CHECK(dx < -std::abs(dy));
      if (plan.relation == "right of") CHECK(dx > std::abs(dy));
      if (plan.relation == "above") CHECK(dy < -std::abs(dx));
      if (plan.relation == "below") CHECK(dy > std::abs(dx));
    }
  }
}

TEST_CASE("backgrounds have the colours that are said, gradients reach both") {
  const auto items = farm();
  const SceneBook book(items, {});
  int gradients = 0;
  for (uint64_t i = 0; i < 300; ++i) {
    const ScenePlan plan = book.training_scene(6, i);
    const image::Image picture = draw_scene(plan, cutout).picture;
    if (plan.from == plan.to) {
      CHECK(picture.at(0, 0)[2] == plan.from.b);
      continue;
    }
    ++gradients;
    CHECK(contains(plan.captions_en[0], " and "));
    CHECK(contains(plan.captions_zh[0], "渐变背景"));
    int nearest_from = 999, nearest_to = 999;
    for (const auto& [x, y] : {std::pair{0, 0}, {255, 0}, {0, 255}, {255, 255}}) {
      const uint8_t* pixel = picture.at(x, y);
      const auto distance = [&](image::Color color) {
        return std::abs(pixel[0] - color.r) + std::abs(pixel[1] - color.g) +
               std::abs(pixel[2] - color.b);
      };
      nearest_from = std::min(nearest_from, distance(plan.from));
      nearest_to = std::min(nearest_to, distance(plan.to));
    }
    CHECK(nearest_from <= 12);
    CHECK(nearest_to <= 12);
  }
  CHECK(gradients > 15);
}

TEST_CASE("a dataset without names or cut-outs makes no scenes, and says so") {
  std::vector<Item> items(10);
  CHECK_THROWS_AS(SceneBook(items, {}), Error);
  auto few = farm();
  few.resize(3);
  CHECK_THROWS_AS(SceneBook(few, {}), Error);
}

TEST_CASE("a small dataset has fewer held-out scenes than asked for, all different") {
  auto items = farm();
  items.resize(7);
  SceneOptions options;
  options.together_weight = options.single_weight = 0;
  const SceneBook book(items, options);
  const auto held = book.held_out_scenes(500);
  CHECK(held.size() < 50);
  std::set<std::string> keys;
  for (const ScenePlan& plan : held) CHECK(keys.insert(plan.key).second);
}
