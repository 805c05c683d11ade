// Line charts as SVG text: axes, ticks, a legend. Small enough to read in a diff, no script, no
// font of its own. Knows nothing of what the numbers mean.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace pangu::eval {

// An error bar at x, from low to high.
struct ErrorBar {
  double x = 0, low = 0, high = 0;
};

struct Series {
  std::string name;
  // x, y; those that are not finite are left out
  std::vector<std::pair<double, double>> points = {};
  // One a point, or none: points with labels are all drawn, as dots.
  std::vector<std::string> labels = {};
  bool joined = true;               // by a line
  std::vector<ErrorBar> bars = {};  // those that cannot be drawn are left out
};

struct Plot {
  std::string title, x_label, y_label;
  bool log_x = false, log_y = false;  // points at or below zero are then left out
  std::vector<Series> series = {};
  bool large = false;  // twice as wide and high as others, with the legend beside: for many labels
};

// At most this many points of a series are drawn; more are averaged in groups.
inline constexpr size_t kMaxPlotPoints = 200;

// The plots side by side, as one SVG document. Plots without a point say so.
std::string svg_of(const std::vector<Plot>& plots);

// Numbers that a person would choose for ticks: within [low, high], 1, 2 or 5 times a power of ten
// apart (on a logarithmic axis the powers of ten, with 2 and 5 if they are few; if even these are
// fewer than three, as on a plain axis).
std::vector<double> ticks(double low, double high, bool logarithmic);

}  // namespace pangu::eval
