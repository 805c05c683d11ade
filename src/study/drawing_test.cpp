// Tests that the settings of the studies, drawn by models that are closed forms, give the same
// pictures in batches and one by one.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "core/testing.h"
#include "pipeline/coop/toy_models.h"
#include "study/drawer.h"
#include "study/experiments.h"

namespace pangu::study {
namespace {

using namespace pipeline::toys;
using pipeline::assemble;
using pipeline::CoopWish;
using pipeline::draw_each;

Shared shared(const char* other) {
  Shared s;
  s.hub = "text";
  s.other = other;
  s.steps = 4;
  return s;
}

TEST_CASE("pictures of a batch are those of single wishes, in every setting of the studies") {
  const diffusion::Schedule schedule;
  for (const bool lines : {true, false}) {
    const auto recipes = lines ? edges_recipes(shared("lines"), schedule)
                               : variation_recipes(shared("varies"), schedule, false);
    const auto batch_wishes = wishes(kOther, lines);
    for (const SettingRecipe& one : recipes) {
      CAPTURE(one.setting.name);
      check_batches(assemble(one.recipe, setup()), batch_wishes);
    }
  }
}

TEST_CASE("a single wish is the recipe's own drawing with that prompt, seed and picture") {
  const diffusion::Schedule schedule;
  for (const SettingRecipe& one : edges_recipes(shared("lines"), schedule)) {
    CAPTURE(one.setting.name);
    pipeline::Recipe recipe = one.recipe;
    recipe.request.prompt = "fox";
    recipe.request.seed = 58;
    pipeline::CoopSetup own = setup();
    own.read_picture = [](const std::string&) { return half_white(48); };
    CHECK(pipeline::draw(assemble(recipe, own)).pictures[0] ==
          draw_each(assemble(one.recipe, setup()), {wishes(kOther, true)[4]}, 1).pictures[0]);
  }
}

TEST_CASE("chains of resolution draw in batches too") {
  for (const SettingRecipe& one : low_recipes(shared("low"))) {
    CAPTURE(one.setting.name);
    std::vector<CoopWish> batch_wishes = wishes(kOther, false);
    for (CoopWish& wish : batch_wishes) wish.pictures.clear();
    const pipeline::Cooperation coop = assemble(one.recipe, setup());
    const auto together = draw_each(coop, batch_wishes, 5).pictures;
    const auto single = draw_each(coop, batch_wishes, 1).pictures;
    for (size_t i = 0; i < batch_wishes.size(); ++i)
      CHECK(most_off(together[i], single[i]) <= kMostOff);
  }
}

TEST_CASE("a drawing that was kept is read again, and one that cannot be read is drawn again") {
  const TestFolder folder;
  const auto experiments = experiments_of("edges", shared("lines"), diffusion::Schedule{},
                                          [](bool) { return std::vector<Case>(1); }, {"d=0.5"});
  REQUIRE(experiments.size() == 1);
  const image::Image edges = half_white(24);
  const std::vector<Wish> batch_wishes = {{"fox", 5, &edges, &edges}};
  Drawer first(setup(), folder.path);
  first.use(experiments[0].recipes);
  const Picture drawn = first.draw(2, batch_wishes)[0];
  Drawer second(setup(), folder.path);
  second.use(experiments[0].recipes);
  const Picture kept = second.draw(2, batch_wishes)[0];
  CHECK(kept.picture == drawn.picture);
  CHECK(kept.seconds == drawn.seconds);  // the time of the first drawing
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder.path)) {
    if (file.is_regular_file()) std::filesystem::resize_file(file, 10);
  }
  CHECK(second.draw(2, batch_wishes)[0].picture == drawn.picture);
}

TEST_CASE("words choose among settings of several members, and leave the members alone") {
  const auto edges_experiment = [](const std::vector<std::string>& words) {
    return experiments_of(
        "edges", shared("lines"), diffusion::Schedule{}, [](bool) { return std::vector<Case>(1); },
        words)[0];
  };
  const Experiment some = edges_experiment({"d=0.3"});
  REQUIRE(some.plan.settings.size() == 3);
  CHECK(some.plan.settings[0].role == Role::kHubAlone);
  CHECK(some.plan.settings[1].role == Role::kOtherAlone);
  CHECK(some.plan.settings[2].name == "d=0.3");
  CHECK(edges_experiment({}).plan.settings.size() > 20);
  CHECK(edges_experiment({}).recipes.size() == edges_experiment({}).plan.settings.size());
}

}  // namespace
}  // namespace pangu::study
