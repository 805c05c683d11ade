#include "study/recipes.h"

#include <cstdio>

namespace pangu::study {
namespace {

using nlohmann::json;

constexpr double kGuidedToTheEnd = 0.0;  // as a sigma: guidance stays on at all noise levels
constexpr const char* kStandIn = "-";  // placeholder of a prompt or picture that every wish brings
// Where weight curves begin and end: near the ends of the noise levels that models are trained on.
constexpr int kLowT = 50, kHighT = 950;

std::string decimal(double value) {
  char text[16];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

// Makes a recipe of one member alone. A recipe must name two members, so a second one is added to
// read the recipe and then removed.
pipeline::Recipe alone_from(json recipe, const json& member) {
  recipe["member"] = {member, {{"name", kStandIn}, {"model", member["model"]}}};
  recipe["member"][0]["hub"] = true;
  pipeline::Recipe alone = pipeline::recipe_from_json(recipe);
  alone.members.pop_back();
  return alone;
}

std::string with_t(const std::string& before, int t, const std::string& after = "") {
  return before + std::to_string(t) + after;
}

// Collects recipes of two members, the hub first.
class SettingList {
 public:
  // `other` is what the names of the settings call the other member.
  SettingList(const Shared& shared, const diffusion::Schedule& hub, const std::string& other,
              const json& input)
      : shared_(shared), schedule_(&hub), other_(other), input_(input) {}

  void add(const std::string& name, const std::string& series, json hub, json other,
           bool in_grid = false) {
    json recipe = base();
    recipe["member"] = {merged(hub_member(), hub), merged(other_member(), other)};
    push(name, series, recipe, in_grid);
  }

  void add_alone() {
    found.push_back({{"text alone", "alone", Role::kHubAlone, /*in_grid=*/true},
                     alone_from(base(), hub_member())});
    found.push_back({{other_ + " alone", "alone", Role::kOtherAlone, /*in_grid=*/true},
                     alone_from(base(), other_member())});
  }

  void add_other_alone(const std::string& name, const json& more) {
    found.push_back({{name, "alone", Role::kTogether, /*in_grid=*/false},
                     alone_from(base(), merged(other_member(), more))});
  }

  void add_shares(const std::vector<int>& tenths) {
    for (const int d : tenths) {
      add("d=" + decimal(0.1 * d), "d, all noise levels", weight(1 - 0.1 * d), weight(0.1 * d),
          d == 3 || d == 5 || d == 7);
    }
  }

  // Adds settings with the other member alone above t, and the hub alone below.
  void add_first(const std::vector<int>& ts) {
    for (const int t : ts) {
      add(with_t(other_ + " first, until t=", t), other_ + " first", {{"sigma_high", sigma(t)}},
          {{"sigma_low", sigma(t)}}, t == 700);
    }
  }

  // Adds settings with both members above t, and the hub alone below.
  void add_above(double d, const std::vector<int>& ts) {
    for (const int t : ts) {
      add("d=" + decimal(d) + with_t(" while t>", t), "d=" + decimal(d) + " while t>T",
          weight(1 - d), merged(weight(d), {{"sigma_low", sigma(t)}}));
    }
  }

  // Adds settings with the hub alone above t, and both members below.
  void add_below(double d, const std::vector<int>& ts) {
    for (const int t : ts) {
      add("d=" + decimal(d) + with_t(" while t<", t), "d=" + decimal(d) + " while t<T",
          weight(1 - d), merged(weight(d), {{"sigma_high", sigma(t)}}), t == 700);
    }
  }

  // Adds a setting in which d goes through the points (t, d), linear in log(sigma) between them.
  void add_curve(const std::string& name, const std::vector<std::pair<int, double>>& points) {
    json hub = json::array(), other = json::array();
    for (const auto& [t, d] : points) {
      hub.push_back({sigma(t), 1 - d});
      other.push_back({sigma(t), d});
    }
    const bool rises = points.front().second > points.back().second;  // towards the picture
    add(name, "curves of d", {{"weight_curve", hub}}, {{"weight_curve", other}}, rises);
  }

  void add_form(const std::string& form, const std::string& name) {
    add(name, "other forms", weight(0.5), weight(0.5));
    found.back().recipe.form = form;
  }

  std::vector<SettingRecipe> found;

 private:
  static json weight(double w) { return {{"weight", w}}; }
  // Returns base with the keys of `more`; a null removes a key.
  static json merged(json base, const json& more) {
    base.update(more);
    for (const auto& [key, value] : more.items()) {
      if (value.is_null()) base.erase(key);
    }
    return base;
  }
  json base() const {
    return {{"prompt", kStandIn},
            {"steps", shared_.steps},
            {"guidance_low", kGuidedToTheEnd},
            {"form", shared_.form},
            {"bridge", shared_.bridge}};
  }
  json hub_member() const { return {{"name", kHub}, {"model", shared_.hub}, {"hub", true}}; }
  json other_member() const { return merged({{"name", kOther}, {"model", shared_.other}}, input_); }
  double sigma(int t) const { return schedule_->sigma_of_t(t); }
  void push(const std::string& name, const std::string& series, const json& recipe, bool in_grid) {
    found.push_back({{name, series, Role::kTogether, in_grid}, pipeline::recipe_from_json(recipe)});
  }

  Shared shared_;
  const diffusion::Schedule* schedule_;
  std::string other_;
  json input_;
};

}  // namespace

std::vector<SettingRecipe> edges_recipes(const Shared& shared, const diffusion::Schedule& hub) {
  SettingList settings(shared, hub, "edges", {{"prompt", ""}, {"control_image", kStandIn}});
  settings.add_alone();
  settings.add_other_alone("edges alone, told the prompt", {{"prompt", nullptr}});
  settings.add_shares({1, 2, 3, 4, 5, 6, 7, 8, 9});
  settings.add_first({900, 800, 700, 500});
  settings.add_above(0.5, {700, 500, 300});
  settings.add_below(0.7, {900, 700, 500});
  settings.add_curve("d from 0.9 down to 0.1", {{kLowT, 0.1}, {kHighT, 0.9}});
  settings.add_curve("d from 0.1 up to 0.9", {{kLowT, 0.9}, {kHighT, 0.1}});
  settings.add_curve("d 0.1, 0.9, 0.1", {{kLowT, 0.1}, {600, 0.9}, {kHighT, 0.1}});
  settings.add_form("one_way", "d=0.5, one way");
  settings.add("d=0.5, edges told the prompt", "other forms", {{"weight", 0.5}},
               {{"weight", 0.5}, {"prompt", nullptr}});
  settings.add("d=0.5, edges as hub", "other forms", {{"weight", 0.5}, {"hub", false}},
               {{"weight", 0.5}, {"hub", true}});
  return std::move(settings.found);
}

std::vector<SettingRecipe> variation_recipes(const Shared& shared, const diffusion::Schedule& hub,
                                             bool brief) {
  SettingList settings(shared, hub, "picture", {{"image_prompt", kStandIn}});
  settings.add_alone();
  if (brief) {
    settings.add_shares({1, 2, 3, 5, 7, 9});
    settings.add_first({700, 600});
    settings.add_below(0.3, {500, 300});
    settings.add_below(0.7, {700, 300});
    return std::move(settings.found);
  }
  settings.add_shares({1, 2, 3, 4, 5, 6, 7, 8, 9});
  settings.add_first({800, 700, 500});
  settings.add_above(0.5, {500});
  settings.add_below(0.7, {900, 700});
  settings.add_curve("d from 0.1 up to 0.9", {{kLowT, 0.9}, {kHighT, 0.1}});
  return std::move(settings.found);
}

std::vector<SettingRecipe> low_recipes(const Shared& shared) {
  std::vector<SettingRecipe> found;
  const json high = {
      {"name", kHub}, {"model", shared.hub}, {"hub", true}, {"guidance_low", kGuidedToTheEnd}};
  const json low = {{"name", kOther}, {"model", shared.other}};
  const json base = {{"prompt", kStandIn}, {"steps", shared.steps}, {"bridge", shared.bridge}};
  const auto add = [&](const std::string& name, const std::string& series, const json& more,
                       bool in_grid) {
    json recipe = base;
    recipe["member"] = {high, low};
    recipe.update(more);
    found.push_back({{name, series, Role::kTogether, in_grid}, pipeline::recipe_from_json(recipe)});
  };
  const auto chain = [&](int t, const char* handoff) -> json {
    return {
        {"handoff", handoff},
        {"stage", {{{"members", {kOther}}, {"until", with_t("t=", t)}}, {{"members", {kHub}}}}}};
  };
  found.push_back({{"high alone", "alone", Role::kHubAlone, true}, alone_from(base, high)});
  found.push_back(
      {{"low alone, enlarged", "alone", Role::kOtherAlone, true}, alone_from(base, low)});
  for (const int t : {900, 800, 700, 600, 500, 400, 300, 200}) {
    add(with_t("T_low=", t), "low, then high", chain(t, "fresh"), t == 800 || t == 600 || t == 400);
  }
  for (const int t : {800, 600, 400}) {
    add(with_t("naive, T_low=", t), "naive handoff", chain(t, "naive"), t == 600);
  }
  return found;
}

}  // namespace pangu::study
