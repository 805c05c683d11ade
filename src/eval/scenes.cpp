#include "eval/scenes.h"

#include <torch/types.h>

#include <algorithm>
#include <set>

#include "eval/probe.h"

namespace pangu::eval {
namespace {

constexpr double kSide = 0.6;
constexpr int64_t kTopScenes = 5;

// A square at the share `across` and `down` (0 to 1) of the room that it leaves free.
image::Box square(const data::ScenePlan& plan, double across, double down) {
  const int side = int(kSide * std::min(plan.width_px, plan.height_px));
  return {int(across * (plan.width_px - side)), int(down * (plan.height_px - side)), side, side};
}

}  // namespace

std::vector<image::Box> windows_of(const data::ScenePlan& plan) {
  std::vector<image::Box> windows = {{0, 0, plan.width_px, plan.height_px},
                                     square(plan, 0.5, 0.5),
                                     square(plan, 0, 0),
                                     square(plan, 1, 0),
                                     square(plan, 0, 1),
                                     square(plan, 1, 1)};
  const image::Box left = square(plan, 0, 0.5), right = square(plan, 1, 0.5);
  const image::Box top = square(plan, 0.5, 0), bottom = square(plan, 0.5, 1);
  if (plan.relation == "left of") windows.insert(windows.end(), {left, right});
  if (plan.relation == "right of") windows.insert(windows.end(), {right, left});
  if (plan.relation == "above") windows.insert(windows.end(), {top, bottom});
  if (plan.relation == "below") windows.insert(windows.end(), {bottom, top});
  return windows;
}

SceneFound look_for(const data::ScenePlan& plan, const at::Tensor& log_p,
                    const std::vector<int64_t>& labels) {
  SceneFound found;
  for (const int64_t label : std::set<int64_t>(labels.begin(), labels.end())) {
    const at::Tensor rank = ranks(log_p, at::full({log_p.size(0)}, label, at::kLong));
    ++found.things;
    found.in_top5 += rank.min().item<int64_t>() < kTopScenes;
  }
  found.all_in_top5 = found.in_top5 == found.things;
  if (plan.relation.empty()) return found;
  found.has_position = true;
  const auto at = [&](size_t place, size_t thing) {
    return log_p[int64_t(kCommonWindows + place)][labels[thing]].item<double>();
  };
  found.position_fits = at(0, 0) + at(1, 1) > at(0, 1) + at(1, 0);
  return found;
}

}  // namespace pangu::eval
