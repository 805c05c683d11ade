// Choosing scenes: which things, how they stand, what is said. Drawing is in scene_draw.cpp, words
// in scene_words.cpp. All chance comes from one counter-based stream a scene.
#include "data/scenes.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "core/hash.h"
#include "data/scene_layout.h"

namespace pangu::data {
namespace {

constexpr uint64_t kHeldOutSeed = 0x5CE7E5;  // of the fixed prompts; any constant would do
constexpr uint64_t kHeldOutEvery = 20;       // one key in twenty is held out
constexpr size_t kMaxWords = 3;              // longer names make captions nobody would type
constexpr int kColourJitter = 14;            // of 255, on each channel of a background
constexpr double kPi = 3.14159265358979323846;
constexpr size_t kThingsForAStyle = 4;  // the largest scene

size_t word_count(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), ' ')) + 1;
}

// Names that describe a scene of their own ("house with garden") do not stand beside others.
bool is_plain_name(const std::string& name) {
  if (name.empty() || word_count(name) > kMaxWords) return false;
  const std::string padded = " " + name + " ";
  for (const char* word : {" with ", " and ", " of ", " in ", " on ", " over ", " behind "}) {
    if (padded.find(word) != std::string::npos) return false;
  }
  return true;
}

// "a red apple" must not become "a red red apple".
bool names_a_colour(const Item& item) {
  for (const NamedColour& colour : background_colours()) {
    const std::string zh = colour.zh;
    if (item.name_en.find(colour.en) != std::string::npos ||
        item.name_zh.find(zh.substr(0, 3)) != std::string::npos) {
      return true;
    }
  }
  return item.name_en.find(item.colour_en) != std::string::npos;
}

ThingWords words_of(const Item& item) {
  ThingWords words;
  words.name_en = item.name_en;
  words.name_zh = item.name_zh;
  words.measure_zh = item.measure_zh;
  words.phrase_en = item.phrase_en.empty() ? with_article(item.name_en) : item.phrase_en;
  words.has_article = words.phrase_en.rfind("a ", 0) == 0 || words.phrase_en.rfind("an ", 0) == 0;
  if (words.has_article && words.measure_zh.empty()) words.measure_zh = "个";
  if (!item.colour_en.empty() && !item.colour_zh.empty() && !names_a_colour(item)) {
    words.colour_en = item.colour_en;
    words.colour_zh = item.colour_zh;
  }
  return words;
}

image::Color jittered(image::Color color, Rng& rng_) {
  const auto moved = [&](uint8_t value) {
    const int step = static_cast<int>(rng_.below(2 * kColourJitter + 1)) - kColourJitter;
    return static_cast<uint8_t>(std::clamp(value + step, 0, 255));
  };
  const uint8_t r = moved(color.r), g = moved(color.g), b = moved(color.b);
  return {r, g, b};
}

void choose_background(const SceneOptions& options, bool must_be_said, Rng& rng_,
                       ScenePlan& plan_) {
  const auto& colours = background_colours();
  if (!must_be_said && rng_.uniform() < options.white_probability) return;
  const NamedColour& first = colours[rng_.below(colours.size())];
  plan_.from = plan_.to = jittered(first.color, rng_);
  plan_.background_en = first.en;
  plan_.background_zh = first.zh;
  if (rng_.uniform() >= options.gradient_probability) return;
  const NamedColour& second = colours[rng_.below(colours.size())];
  if (std::string(second.en) == first.en) return;
  plan_.to = jittered(second.color, rng_);
  plan_.angle_rad = rng_.uniform(0, 2 * kPi);
  plan_.background_en += std::string(" and ") + second.en + " gradient";
  plan_.background_zh += std::string("和") + second.zh + "渐变";
}

// Position keys always read "left of" or "above".
std::string position_key(const ScenePlan& plan) {
  const std::string &a = plan.things[0].words.name_en, &b = plan.things[1].words.name_en;
  if (plan.relation == "left of") return a + " left of " + b;
  if (plan.relation == "right of") return b + " left of " + a;
  if (plan.relation == "above") return a + " above " + b;
  return b + " above " + a;
}

std::string key_of(const ScenePlan& plan) {
  std::vector<std::string> names;
  for (const SceneThing& thing : plan.things) names.push_back(thing.words.name_en);
  switch (plan.kind) {
    case SceneKind::kSingle:
      return names[0] + " on " + plan.background_en;
    case SceneKind::kPosition:
      return position_key(plan);
    case SceneKind::kCount:
      return std::to_string(names.size()) + " " + names[0];
    case SceneKind::kTogether:
      break;
  }
  std::sort(names.begin(), names.end());
  std::string key = names[0];
  for (size_t i = 1; i < names.size(); ++i) key += " + " + names[i];
  return key;
}

struct Relation {
  const char *name, *en, *zh, *opposite_en, *opposite_zh;
};
constexpr Relation kRelations[] = {
    {"left of", "to the left of", "左边", "to the right of", "右边"},
    {"right of", "to the right of", "右边", "to the left of", "左边"},
    {"above", "above", "上方", "below", "下方"},
    {"below", "below", "下方", "above", "上方"}};

// What stands in the picture, in several wordings; the background is added by the caller.
void describe_things(const ScenePlan& plan, std::vector<std::string>& en_,
                     std::vector<std::string>& zh_) {
  const ThingWords& first = plan.things[0].words;
  if (plan.kind == SceneKind::kCount) {
    const int count = static_cast<int>(plan.things.size());
    en_ = {many_en(first, count)};
    zh_ = {many_zh(first, count)};
  } else if (plan.kind == SceneKind::kPosition) {
    const ThingWords& second = plan.things[1].words;
    const Relation* relation =
        std::find_if(std::begin(kRelations), std::end(kRelations),
                     [&](const Relation& r) { return plan.relation == r.name; });
    const std::string a = one_en(first), b = one_en(second);
    en_ = {a + " " + relation->en + " " + b, b + " " + relation->opposite_en + " " + a};
    zh_ = {bare_zh(second) + "的" + relation->zh + "有" + one_zh(first),
           one_zh(first) + "在" + bare_zh(second) + "的" + relation->zh,
           bare_zh(first) + "的" + relation->opposite_zh + "有" + one_zh(second)};
  } else {
    std::vector<std::string> en, zh;
    for (const SceneThing& thing : plan.things) {
      en.push_back(one_en(thing.words));
      zh.push_back(one_zh(thing.words));
    }
    en_ = {list_en(en)};
    zh_ = {list_zh(zh)};
  }
}

void describe(ScenePlan& plan_) {
  std::vector<std::string> en, zh;
  describe_things(plan_, en, zh);
  const std::string& ground_en = plan_.background_en;
  const std::string& ground_zh = plan_.background_zh;
  for (const std::string& text : en) {
    plan_.captions_en.push_back(
        ground_en.empty() ? text : text + " on " + with_article(ground_en) + " background");
  }
  for (const std::string& text : zh) {
    if (ground_zh.empty()) {
      plan_.captions_zh.push_back(text);
    } else {
      plan_.captions_zh.push_back(text + "，" + ground_zh + "背景");
      plan_.captions_zh.push_back(ground_zh + "背景，" + text);
    }
  }
  static const std::map<std::string, std::pair<std::string, std::string>> kStyles = {
      {"3d", {"3D render", "三维渲染"}},
      {"flat", {"flat icon", "扁平图标"}},
      {"shaded", {"shaded emoji", "立体表情"}},
      {"gradient", {"gradient icon", "渐变图标"}},
      {"simple", {"simple emoji", "简约表情"}}};
  if (const auto style = kStyles.find(plan_.style); style != kStyles.end()) {
    plan_.captions_en.push_back(plan_.captions_en[0] + ", " + style->second.first);
    plan_.captions_zh.push_back(plan_.captions_zh[0] + "，" + style->second.second);
  }
}

SceneKind choose_kind(const SceneOptions& options, bool can_count, Rng& rng_) {
  const std::pair<SceneKind, double> weights[] = {
      {SceneKind::kSingle, options.single_weight},
      {SceneKind::kTogether, options.together_weight},
      {SceneKind::kPosition, options.position_weight},
      {SceneKind::kCount, can_count ? options.count_weight : 0}};
  double total = 0;
  for (const auto& [kind, weight] : weights) total += weight;
  double at = rng_.uniform() * total;
  for (const auto& [kind, weight] : weights) {
    if (at < weight) return kind;
    at -= weight;
  }
  return SceneKind::kTogether;
}

}  // namespace

const char* name_of(SceneKind kind) {
  switch (kind) {
    case SceneKind::kSingle:
      return "single";
    case SceneKind::kTogether:
      return "together";
    case SceneKind::kPosition:
      return "position";
    case SceneKind::kCount:
      return "count";
  }
  return "";
}

bool is_held_out(const std::string& key) {
  return stable_hash("scene: " + key) % kHeldOutEvery == 0;
}

SceneBook::SceneBook(const std::vector<Item>& items, const SceneOptions& options)
    : options_(options) {
  std::map<std::string, Style> styles;
  for (size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    if (item.split != "train" || !item.has_alpha || item.name_zh.empty() ||
        !is_plain_name(item.name_en)) {
      continue;
    }
    Style& style = styles[item.style];
    style.name = item.style;
    SceneThing thing;
    thing.item = i;
    thing.words = words_of(item);
    if (thing.words.has_article) style.countable.push_back(style.things.size());
    style.things.push_back(std::move(thing));
  }
  for (auto& [name, style] : styles) {
    std::set<std::string> names;
    for (const SceneThing& thing : style.things) names.insert(thing.words.name_en);
    if (names.size() >= kThingsForAStyle) styles_.push_back(std::move(style));
  }
  if (styles_.empty()) {
    throw bad_input("composed scenes", "four cut-outs of one style with English and Chinese names",
                    std::to_string(items.size()) + " items without",
                    "turn scenes off, or add `names` and transparent pictures to the manifest");
  }
}

size_t SceneBook::thing_count() const {
  size_t count = 0;
  for (const Style& style : styles_) count += style.things.size();
  return count;
}

ScenePlan SceneBook::chosen(Rng& rng_) const {
  ScenePlan plan;
  plan.width_px = options_.width_px;
  plan.height_px = options_.height_px;
  // A style in proportion to its things, then the things without repeats.
  uint64_t at = rng_.below(thing_count());
  const Style* style = &styles_[0];
  for (const Style& candidate : styles_) {
    style = &candidate;
    if (at < candidate.things.size()) break;
    at -= candidate.things.size();
  }
  plan.style = style->name;
  plan.kind = choose_kind(options_, !style->countable.empty(), rng_);
  size_t count = 1;
  if (plan.kind == SceneKind::kPosition) count = 2;
  const auto more = static_cast<uint64_t>(options_.most_things - 1);  // than one
  if (plan.kind == SceneKind::kTogether) count = 2 + rng_.below(more);
  std::set<std::string> taken;
  while (plan.things.size() < count) {
    const size_t index = plan.kind == SceneKind::kCount
                             ? style->countable[rng_.below(style->countable.size())]
                             : rng_.below(style->things.size());
    SceneThing thing = style->things[index];
    const bool say_colour = rng_.uniform() < options_.colour_probability;
    if (!say_colour) thing.words.colour_en.clear(), thing.words.colour_zh.clear();
    if (taken.insert(thing.words.name_en).second) plan.things.push_back(std::move(thing));
  }
  if (plan.kind == SceneKind::kCount) plan.things.resize(2 + rng_.below(more), plan.things[0]);
  if (plan.kind == SceneKind::kPosition) plan.relation = kRelations[rng_.below(4)].name;
  choose_background(options_, plan.kind == SceneKind::kSingle, rng_, plan);
  plan.key = key_of(plan);
  return plan;
}

ScenePlan SceneBook::scene(Rng& rng_, bool held_out) const {
  // One key in twenty is held out: this many draws all miss with a probability below 1e-22.
  constexpr int kDraws = 1000;
  for (int draw = 0; draw < kDraws; ++draw) {
    ScenePlan plan = chosen(rng_);
    if (is_held_out(plan.key) != held_out) continue;
    lay_out(plan, rng_);
    describe(plan);
    return plan;
  }
  throw bad_input("composed scenes", "enough different things", "too few",
                  "turn scenes off, or add cut-outs with names");
}

ScenePlan SceneBook::training_scene(uint64_t seed, uint64_t index) const {
  Rng rng(seed, index);
  return scene(rng, false);
}

std::vector<ScenePlan> SceneBook::held_out_scenes(size_t count) const {
  std::vector<ScenePlan> scenes;
  std::set<std::string> keys;
  const uint64_t most = 20 * count + 100;  // a small dataset has few keys
  for (uint64_t index = 0; scenes.size() < count && index < most; ++index) {
    Rng rng(kHeldOutSeed, index);
    try {
      ScenePlan plan = scene(rng, true);
      if (keys.insert(plan.key).second) scenes.push_back(std::move(plan));
    } catch (const Error&) {
      break;  // so few things that none of their keys is held out
    }
  }
  return scenes;
}

}  // namespace pangu::data
