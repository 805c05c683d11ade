#include "study/curve.h"

#include <algorithm>
#include <cmath>

namespace pangu::study {
namespace {

struct Block {
  size_t points = 0;
  double sum = 0;
  double mean() const { return sum / static_cast<double>(points); }
};

// One point for each cost.
std::vector<CurvePoint> averaged(std::vector<CurvePoint> points) {
  std::sort(points.begin(), points.end(),
            [](const CurvePoint& a, const CurvePoint& b) { return a.cost < b.cost; });
  std::vector<CurvePoint> merged;
  size_t same = 0;
  for (const CurvePoint& point : points) {
    if (merged.empty() || merged.back().cost != point.cost) {
      merged.push_back(point);
      same = 1;
    } else {
      ++same;
      merged.back().value += (point.value - merged.back().value) / static_cast<double>(same);
    }
  }
  return merged;
}

}  // namespace

std::vector<CurvePoint> falling_fit(std::vector<CurvePoint> points) {
  points = averaged(std::move(points));
  std::vector<Block> blocks;
  for (const CurvePoint& point : points) {
    blocks.push_back({1, point.value});
    while (blocks.size() > 1 && blocks.back().mean() > blocks[blocks.size() - 2].mean()) {
      const Block last = blocks.back();
      blocks.pop_back();
      blocks.back().points += last.points;
      blocks.back().sum += last.sum;
    }
  }
  size_t i = 0;
  for (const Block& block : blocks) {
    for (size_t k = 0; k < block.points; ++k) points[i++].value = block.mean();
  }
  return points;
}

std::optional<LevelCost> cost_at_level(const std::vector<CurvePoint>& fitted, double level) {
  for (size_t i = 0; i < fitted.size(); ++i) {
    if (fitted[i].value > level) continue;
    if (i == 0) return LevelCost{fitted[0].cost, fitted[0].value < level};
    const CurvePoint &before = fitted[i - 1], &after = fitted[i];
    const double share = (before.value - level) / (before.value - after.value);
    return LevelCost{std::exp(std::log(before.cost) + share * std::log(after.cost / before.cost)),
                     false};
  }
  return std::nullopt;
}

}  // namespace pangu::study
