// Laying out and drawing scenes. Sizes are shares of the scene's sides, so any shape works.
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "data/scene_layout.h"
#include "data/scenes.h"

namespace pangu::data {
namespace {

using image::Box;

// A square cell in the middle of a part of the scene, `share` of its shorter side, moved within.
Box cell_in(const Box& part, double low_share, double high_share, Rng& rng_) {
  const double share = rng_.uniform(low_share, high_share);
  const int side = std::max(1, static_cast<int>(std::min(part.width, part.height) * share));
  const auto moved = [&](int start, int room) {
    // Half of the free room at most, so that neighbours keep their distance.
    const int free = std::max(0, room - side);
    return start + free / 4 + static_cast<int>(rng_.below(static_cast<uint64_t>(free / 2) + 1));
  };
  const int x = moved(part.x, part.width), y = moved(part.y, part.height);
  return {x, y, side, side};
}

// The scene cut into rows of so many equal parts.
std::vector<Box> parts_of(const ScenePlan& plan, const std::vector<int>& row_sizes) {
  std::vector<Box> parts;
  const int rows = static_cast<int>(row_sizes.size());
  for (int row = 0; row < rows; ++row) {
    const int y = plan.height_px * row / rows, y_end = plan.height_px * (row + 1) / rows;
    for (int column = 0; column < row_sizes[row]; ++column) {
      const int x = plan.width_px * column / row_sizes[row];
      const int x_end = plan.width_px * (column + 1) / row_sizes[row];
      parts.push_back({x, y, x_end - x, y_end - y});
    }
  }
  return parts;
}

std::vector<int> rows_for(size_t count, Rng& rng_) {
  switch (count) {
    case 1:
      return {1};
    case 2:
      return rng_.below(2) ? std::vector<int>{2} : std::vector<int>{1, 1};
    case 3: {
      const std::vector<int> choices[] = {{3}, {1, 2}, {2, 1}};
      return choices[rng_.below(3)];
    }
    default:
      return {2, 2};
  }
}

uint8_t mixed(uint8_t a, uint8_t b, double share) {
  return static_cast<uint8_t>(std::lround(a + (b - a) * share));
}

image::Image background_of(const ScenePlan& plan) {
  image::Image out = image::filled(plan.width_px, plan.height_px, plan.from);
  if (plan.from == plan.to) return out;
  const double dx = std::cos(plan.angle_rad), dy = std::sin(plan.angle_rad);
  // The corner farthest along the direction gets share 1, the opposite one 0.
  const double reach = std::abs(dx) * plan.width_px / 2 + std::abs(dy) * plan.height_px / 2;
  for (int y = 0; y < plan.height_px; ++y) {
    for (int x = 0; x < plan.width_px; ++x) {
      const double along =
          dx * (x + 0.5 - plan.width_px / 2.0) + dy * (y + 0.5 - plan.height_px / 2.0);
      const double share = std::clamp(0.5 + along / (2 * reach), 0.0, 1.0);
      uint8_t* pixel = out.at(x, y);
      pixel[0] = mixed(plan.from.r, plan.to.r, share);
      pixel[1] = mixed(plan.from.g, plan.to.g, share);
      pixel[2] = mixed(plan.from.b, plan.to.b, share);
    }
  }
  return out;
}

Box fitted(const Box& cell, int width, int height) {
  const double factor =
      std::min(static_cast<double>(cell.width) / width, static_cast<double>(cell.height) / height);
  const int w = std::max(1, static_cast<int>(std::lround(width * factor)));
  const int h = std::max(1, static_cast<int>(std::lround(height * factor)));
  return {cell.x + (cell.width - w) / 2, cell.y + (cell.height - h) / 2, w, h};
}

}  // namespace

void lay_out(ScenePlan& plan_, Rng& rng_) {
  std::vector<int> rows = rows_for(plan_.things.size(), rng_);
  const bool beside = plan_.relation == "left of" || plan_.relation == "right of";
  if (!plan_.relation.empty()) rows = beside ? std::vector<int>{2} : std::vector<int>{1, 1};
  const std::vector<Box> parts = parts_of(plan_, rows);
  const bool reversed = plan_.relation == "right of" || plan_.relation == "below";
  const double low = plan_.things.size() == 1 ? 0.6 : 0.78;
  const double high = plan_.things.size() == 1 ? 0.92 : 0.96;
  for (size_t i = 0; i < plan_.things.size(); ++i) {
    const Box& part = parts[reversed ? plan_.things.size() - 1 - i : i];
    plan_.things[i].cell = cell_in(part, low, high, rng_);
  }
  if (plan_.relation.empty()) return;
  // Across the axis of the relation both stand near the middle: part.size / 2 of play would blur
  // "left of" into "above left of".
  const int middle = beside ? plan_.height_px / 2 : plan_.width_px / 2;
  const double play = 0.08 * (beside ? plan_.height_px : plan_.width_px);
  for (SceneThing& thing : plan_.things) {
    const int center = middle + static_cast<int>(rng_.uniform(-play, play));
    (beside ? thing.cell.y : thing.cell.x) = center - thing.cell.width / 2;
  }
}

DrawnScene draw_scene(const ScenePlan& plan,
                      const std::function<image::Image(size_t item)>& cutout) {
  DrawnScene scene{background_of(plan), {}};
  for (const SceneThing& thing : plan.things) {
    const image::Image whole = cutout(thing.item);
    const Box visible = image::alpha_bounds(whole);
    if (visible.width == 0) {
      throw bad_input("composed scenes", "a visible cut-out", "a fully transparent picture",
                      "item " + thing.words.name_en);
    }
    const Box box = fitted(thing.cell, visible.width, visible.height);
    image::paste(scene.picture,
                 image::crop(whole, visible.x, visible.y, visible.width, visible.height), box);
    scene.boxes.push_back(box);
  }
  return scene;
}

}  // namespace pangu::data
