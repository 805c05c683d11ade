// Measures whether the right things are in the right places. The probe looks for things in windows
// of the picture. A caption says what stands where, but not how large, so the windows are fixed;
// they are not the boxes of the scene that the caption was composed for.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "data/scenes.h"
#include "image/resize.h"

namespace pangu::eval {

// Returns the windows: the whole picture, and squares of 0.6 of its side in the four corners and in
// the centre. A plan with a position has two more at the places that its relation names, that of
// the first thing first.
std::vector<image::Box> windows_of(const data::ScenePlan& plan);
inline constexpr size_t kCommonWindows = 6;

struct SceneFound {
  // The number of different things, and of those among the best five of a window.
  int64_t things = 0, in_top5 = 0;
  bool all_in_top5 = false;
  bool has_position = false;
  bool position_fits = false;  // whether the things fit their own places better than each other's
};

// log_p: [windows,classes]; labels: the probe's number of each of plan.things.
SceneFound look_for(const data::ScenePlan& plan, const at::Tensor& log_p,
                    const std::vector<int64_t>& labels);

}  // namespace pangu::eval
