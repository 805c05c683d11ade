// Tests that many pictures of one cooperation drawn at once are the same as one by one.
#include <doctest/doctest.h>

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
