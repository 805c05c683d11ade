// Tests looking for things in windows, with outputs of a probe made by hand.
#include "eval/scenes.h"

#include <doctest/doctest.h>
#include <torch/types.h>

namespace pangu::eval {
namespace {

data::ScenePlan plan_of(const std::string& relation, size_t things) {
  data::ScenePlan plan;
  plan.relation = relation;
  plan.things.resize(things);
  plan.width_px = 256;
  plan.height_px = 192;
  return plan;
}

TEST_CASE("windows lie inside the picture, the first thing's place first") {
  for (const auto& [relation, dx, dy] :
       {std::tuple{"left of", 1, 0}, {"right of", -1, 0}, {"above", 0, 1}, {"below", 0, -1}}) {
    const auto windows = windows_of(plan_of(relation, 2));
    REQUIRE(windows.size() == kCommonWindows + 2);
    for (const image::Box& w : windows) {
      CHECK(w.x >= 0);
      CHECK(w.y >= 0);
      CHECK(w.x + w.width <= 256);
      CHECK(w.y + w.height <= 192);
    }
    const image::Box &first = windows[kCommonWindows], &second = windows[kCommonWindows + 1];
    CHECK((second.x > first.x) - (second.x < first.x) == dx);
    CHECK((second.y > first.y) - (second.y < first.y) == dy);
  }
  CHECK(windows_of(plan_of("", 3)).size() == kCommonWindows);
}

TEST_CASE("a thing counts once, if it is among the best five of any window") {
  // 10 classes; window 3 puts class 7 fifth and class 8 sixth; everywhere else they are last.
  at::Tensor log_p = -at::arange(10).to(at::kFloat).repeat({int64_t(kCommonWindows), 1});
  log_p[3][7] = -3.5;
  log_p[3][8] = -4.5;
  const SceneFound found = look_for(plan_of("", 3), log_p, {7, 8, 8});
  CHECK(found.things == 2);
  CHECK(found.in_top5 == 1);
  CHECK_FALSE(found.all_in_top5);
  CHECK_FALSE(found.has_position);
  CHECK(look_for(plan_of("", 2), log_p, {7, 7}).all_in_top5);
}

TEST_CASE("a position fits if the things suit their places better than when they are swapped") {
  const data::ScenePlan plan = plan_of("left of", 2);
  at::Tensor log_p = at::full({int64_t(kCommonWindows) + 2, 4}, -9.f);
  log_p[int64_t(kCommonWindows)][1] = -1.f;
  CHECK(look_for(plan, log_p, {1, 2}).position_fits);
  CHECK_FALSE(look_for(plan, log_p, {2, 1}).position_fits);
  CHECK_FALSE(look_for(plan, log_p, {0, 3}).position_fits);  // no window prefers either place
}

}  // namespace
}  // namespace pangu::eval
