// Quality against cost as a curve, and the cost at which it reaches a level: a monotone fit through
// the measured points and a straight line between them on a logarithmic axis of cost. What lies
// beyond the points is not said.
#pragma once
#include <optional>
#include <vector>

namespace pangu::study {

struct CurvePoint {
  double cost = 0, value = 0;
  bool operator==(const CurvePoint&) const = default;
};

// Points by cost, with values that never grow: the least-squares fit among such (pool adjacent
// violators, Ayer et al. 1955; all points weigh the same), for measures that fall as training goes
// on. Values at the same cost are averaged first. REQUIRES: costs above 0, finite values.
std::vector<CurvePoint> falling_fit(std::vector<CurvePoint> points);

struct LevelCost {
  double cost = 0;
  // The first point is there already, so that the level was reached at this cost or before it.
  bool is_bound = false;
};

// The least cost at which a falling_fit() is at or below the level; none if no point is.
std::optional<LevelCost> cost_at_level(const std::vector<CurvePoint>& fitted, double level);

}  // namespace pangu::study
