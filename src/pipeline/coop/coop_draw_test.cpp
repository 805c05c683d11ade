// Tests that many pictures of one cooperation drawn at once are the same as one by one.
#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "core/testing.h"
#include "pipeline/coop/coop.h"
#include "pipeline/coop/toy_models.h"

namespace pangu::pipeline {
namespace {

using namespace toys;

constexpr const char* kOther = "other";

// A recipe of the model that reads a text and one that draws from lines, with equal weights.
Recipe recipe_with_lines() {
  return recipe_from_json({{"prompt", "-"},
                           {"steps", 4},
                           {"member",
                            {{{"name", "text"}, {"model", "text"}, {"hub", true}},
                             {{"name", kOther}, {"model", "lines"}, {"control_image", "-"}}}}});
}

TEST_CASE("pictures of a batch are those of single wishes") {
  check_batches(assemble(recipe_with_lines(), setup()), wishes(kOther, true));
}

TEST_CASE("a wish with too many control pictures names the member") {
  const Cooperation coop = assemble(recipe_with_lines(), setup());
  CoopWish wish = wishes(kOther, true)[0];
  wish.pictures[kOther].controls.push_back(half_white(1));
  CHECK(contains(refusal_of([&] { draw_each(coop, {wish}, 1); }), kOther));
}

TEST_CASE("each member's own guess is told before the guesses are fused, and changes no picture") {
  Recipe recipe = recipe_with_lines();
  recipe.form = "one_way";
  recipe.members[0].weight = 0.75;
  recipe.members[1].weight = 0.25;
  const Cooperation coop = assemble(recipe, setup());
  std::map<std::string, std::vector<at::Tensor>> guesses;
  std::vector<at::Tensor> fused;
  DrawHooks hooks;
  hooks.on_latents = [&](const diffusion::StepInfo& step) { fused.push_back(step.x0[0]); };
  const Drawing told = draw(coop, hooks, [&](const Member& member, double, const at::Tensor& x0) {
    guesses[member.name].push_back(x0);
  });
  CHECK((told.pictures == draw(coop).pictures));
  REQUIRE(guesses["text"].size() == 4);
  REQUIRE(guesses[kOther].size() == 4);
  REQUIRE(fused.size() == 4);
  for (size_t i = 0; i < fused.size(); ++i) {
    const at::Tensor bridged = coop.stages[0].bridges[1][0].cross(guesses[kOther][i]);
    CHECK(at::allclose(fused[i], guesses["text"][i] * 0.75 + bridged * 0.25));
  }
}

TEST_CASE("the watch of many batches hears them to the end, and may stop them") {
  const Cooperation coop = assemble(recipe_with_lines(), setup());
  int64_t done = 0;
  DrawHooks hooks;
  hooks.watch.on_progress = [&](const Progress& progress) {
    CHECK(progress.total == 12);
    done = progress.done;
  };
  CHECK_FALSE(draw_each(coop, wishes(kOther, true), 2, hooks).stopped);
  CHECK(done == 12);
  done = 0;
  hooks.watch.wants_stop = [&] { return done >= 6; };
  const Drawing part = draw_each(coop, wishes(kOther, true), 2, hooks);
  CHECK(part.stopped);
  CHECK(part.pictures.size() == 2);
}

}  // namespace
}  // namespace pangu::pipeline
