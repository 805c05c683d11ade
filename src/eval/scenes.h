// Are the right things in the right places? Things are looked for by the probe in windows of the
// picture; a caption says what stands where, not how large, so windows are fixed and not the boxes
// of the scene that would have been composed from it.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "data/scenes.h"
#include "image/resize.h"

namespace pangu::eval {

// The whole picture, squares of 0.6 of its side in the four corners and in the centre; for a
// position two more at the places that its relation names, the first thing's first.
std::vector<image::Box> windows_of(const data::ScenePlan& plan);
inline constexpr size_t kCommonWindows = 6;

struct SceneFound {
  int64_t things = 0, in_top5 = 0;  // different things, and those among the best five of a window
  bool all_in_top5 = false;
  bool has_position = false;
  bool position_fits = false;  // the things fit their places better than each other's
};

// log_p: [windows,classes]; labels: the probe's number of each of plan.things.
SceneFound look_for(const data::ScenePlan& plan, const at::Tensor& log_p,
                    const std::vector<int64_t>& labels);

}  // namespace pangu::eval
