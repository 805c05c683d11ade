#include "eval/plot.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <numbers>

namespace pangu::eval {
namespace {

constexpr int kWidth = 460, kHeight = 320;  // of one plot, pixels
constexpr int kLeftPx = 58, kRightPx = 14, kTopPx = 34, kBottomPx = 46;
constexpr int kLegendLine = 16;
constexpr int kLegendWidth = 200;  // beside a large plot
constexpr const char* kColours[] = {"#1f5fbf", "#c8471b", "#2c8a4b", "#8a3fa8",
                                    "#a07a00", "#0f8a96", "#7a4a2a", "#666666"};

int width_of(const Plot& plot) { return plot.large ? 2 * kWidth : kWidth; }
int height_of(const Plot& plot) { return plot.large ? 2 * kHeight : kHeight; }
constexpr double kMargin = 0.04;  // of the range, beyond the outermost points

struct Axis {
  double low = 0, high = 1;
  bool logarithmic = false;
  double share(double v) const {
    const auto f = [&](double x) { return logarithmic ? std::log(x) : x; };
    return (f(v) - f(low)) / (f(high) - f(low));
  }
};

std::string coordinate(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string tick_text(double value) {
  char text[32];
  if (value != 0 && std::abs(value) >= 10000) {
    std::snprintf(text, sizeof text, "%gk", value / 1000);
  } else {
    std::snprintf(text, sizeof text, "%.6g", value);
  }
  return text;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string label(double x, double y, const std::string& text, const char* anchor,
                  const std::string& more = "") {
  return "<text x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" text-anchor=\"" + anchor +
         "\"" + more + ">" + escaped(text) + "</text>\n";
}

std::string line(double x1, double y1, double x2, double y2, const char* stroke) {
  return "<line x1=\"" + coordinate(x1) + "\" y1=\"" + coordinate(y1) + "\" x2=\"" +
         coordinate(x2) + "\" y2=\"" + coordinate(y2) + "\" stroke=\"" + stroke + "\"/>\n";
}

bool can_be_drawn(const Plot& plot, const std::pair<double, double>& point) {
  const auto& [x, y] = point;
  return std::isfinite(x) && std::isfinite(y) && !(plot.log_x && x <= 0) && !(plot.log_y && y <= 0);
}

// Points that can be drawn, neighbours averaged until they are few enough.
std::vector<std::pair<double, double>> drawable(const Plot& plot, const Series& series) {
  std::vector<std::pair<double, double>> kept;
  for (const auto& point : series.points) {
    if (can_be_drawn(plot, point)) kept.push_back(point);
  }
  const size_t group = (kept.size() + kMaxPlotPoints - 1) / kMaxPlotPoints;
  if (group <= 1 || !series.labels.empty()) return kept;
  std::vector<std::pair<double, double>> means;
  for (size_t i = 0; i < kept.size(); i += group) {
    const size_t end = std::min(i + group, kept.size());
    double x = 0, y = 0;
    for (size_t k = i; k < end; ++k) x += kept[k].first, y += kept[k].second;
    means.emplace_back(x / double(end - i), y / double(end - i));
  }
  return means;
}

std::vector<ErrorBar> drawable_bars(const Plot& plot, const Series& series) {
  std::vector<ErrorBar> kept;
  for (const ErrorBar& bar : series.bars) {
    if (can_be_drawn(plot, {bar.x, bar.low}) && can_be_drawn(plot, {bar.x, bar.high})) {
      kept.push_back(bar);
    }
  }
  return kept;
}

// An error bar in pixels, with a short line across each end.
std::string bar_line(double x, double low, double high, const char* colour) {
  constexpr double kHalf = 3;
  return line(x, low, x, high, colour) + line(x - kHalf, low, x + kHalf, low, colour) +
         line(x - kHalf, high, x + kHalf, high, colour);
}

Axis axis_over(double low, double high, bool logarithmic) {
  if (low == high) {
    const double reach = low == 0 ? 1 : std::abs(low) / 2;
    return {low - reach, high + reach, logarithmic};
  }
  if (logarithmic) {
    const double margin = std::pow(high / low, kMargin);
    return {low / margin, high * margin, true};
  }
  const double margin = (high - low) * kMargin;
  return {low - margin, high + margin, false};
}

struct NamedPoint {
  double x = 0, y = 0;  // pixels
  std::string name;
  const char* colour = nullptr;
};

// Boxes of pixels.
struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;
  double shared_with(const Box& other) const {
    const double wide = std::min(right, other.right) - std::max(left, other.left);
    const double high = std::min(bottom, other.bottom) - std::max(top, other.top);
    return wide > 0 && high > 0 ? wide * high : 0;
  }
};

// Places names near their points: within `area`, where they hide no point and no other name if
// there is such a place, and rather beside a drawn line than on it. A name that had to go further
// away gets a line to its point.
class Names {
 public:
  Names(const Box& area, const std::vector<NamedPoint>& points) : area_(area) {
    for (const NamedPoint& p : points) {
      taken_.push_back({p.x - kDot, p.y - kDot, p.x + kDot, p.y + kDot});
    }
  }

  void avoid_line(double x1, double y1, double x2, double y2) {
    const int parts = int(std::hypot(x2 - x1, y2 - y1) / kStroke) + 1;
    for (int i = 0; i <= parts; ++i) {
      const double x = std::lerp(x1, x2, double(i) / parts);
      const double y = std::lerp(y1, y2, double(i) / parts);
      taken_.push_back({x - kStroke / 2, y - kStroke / 2, x + kStroke / 2, y + kStroke / 2});
    }
  }

  std::string beside(const NamedPoint& p) {
    const double width = kLetterWidth * double(p.name.size());
    Box best;
    double least = std::numeric_limits<double>::infinity(), best_gap = 0;
    for (double gap = kDot + 1; gap < kMostGap; gap = 1.2 * gap + 1) {
      for (int direction = 0; direction < kDirections; ++direction) {
        const double angle = 2 * std::numbers::pi * direction / kDirections;
        const double x = p.x + std::cos(angle) * (gap + width / 2);
        const double y = p.y - std::sin(angle) * (gap + kHeightOfName / 2);
        const Box box{x - width / 2, y - kHeightOfName / 2, x + width / 2, y + kHeightOfName / 2};
        const double cost = hidden_by(box) + kCostOfGap * gap;
        if (cost < least) least = cost, best = box, best_gap = gap;
      }
    }
    taken_.push_back(best);
    std::string out;
    if (best_gap > kNear) {
      out = line(p.x, p.y, std::clamp(p.x, best.left, best.right),
                 std::clamp(p.y, best.top, best.bottom), "#999");
    }
    return out + label((best.left + best.right) / 2, best.bottom - 2, p.name, "middle",
                       " font-size=\"9\" fill=\"" + std::string(p.colour) + "\"");
  }

 private:
  double hidden_by(const Box& box) const {
    double area = 0;
    for (const Box& other : taken_) area += box.shared_with(other);
    const bool inside = box.left >= area_.left && box.right <= area_.right &&
                        box.top >= area_.top && box.bottom <= area_.bottom;
    return area + (inside ? 0 : kNeverOutside);
  }

  static constexpr double kLetterWidth = 5, kHeightOfName = 10, kDot = 4, kNear = 8, kMostGap = 200,
                          kNeverOutside = 1e6, kStroke = 2, kCostOfGap = 0.5;
  static constexpr int kDirections = 16;
  Box area_;
  std::vector<Box> taken_;
};

// The points of a series with labels.
std::vector<NamedPoint> named_points(const Plot& plot, const Series& series,
                                     const std::function<double(double)>& px,
                                     const std::function<double(double)>& py, const char* colour) {
  std::vector<NamedPoint> named;
  for (size_t i = 0; i < series.labels.size() && i < series.points.size(); ++i) {
    if (!can_be_drawn(plot, series.points[i])) continue;
    named.push_back(
        {px(series.points[i].first), py(series.points[i].second), series.labels[i], colour});
  }
  return named;
}

std::string svg_of(const Plot& plot) {
  std::vector<std::vector<std::pair<double, double>>> lines;
  double x_low = std::numeric_limits<double>::infinity(), y_low = x_low;
  double x_high = -x_low, y_high = -x_low;
  for (const Series& series : plot.series) {
    lines.push_back(drawable(plot, series));
    for (const auto& [x, y] : lines.back()) {
      x_low = std::min(x_low, x), x_high = std::max(x_high, x);
      y_low = std::min(y_low, y), y_high = std::max(y_high, y);
    }
    for (const ErrorBar& bar : drawable_bars(plot, series)) {
      x_low = std::min(x_low, bar.x), x_high = std::max(x_high, bar.x);
      y_low = std::min(y_low, bar.low), y_high = std::max(y_high, bar.high);
    }
  }
  const double right = width_of(plot) - kRightPx - (plot.large ? kLegendWidth : 0);
  const double bottom = height_of(plot) - kBottomPx;
  std::string out = label((kLeftPx + right) / 2, 20, plot.title, "middle", " font-weight=\"bold\"");
  if (!(x_low <= x_high)) return out + label((kLeftPx + right) / 2, 160, "no data", "middle");
  const Axis x_axis = axis_over(x_low, x_high, plot.log_x);
  const Axis y_axis = axis_over(y_low, y_high, plot.log_y);
  const auto px = [&](double x) { return kLeftPx + x_axis.share(x) * (right - kLeftPx); };
  const auto py = [&](double y) { return bottom - y_axis.share(y) * (bottom - kTopPx); };
  for (const double t : ticks(x_axis.low, x_axis.high, plot.log_x)) {
    out += line(px(t), kTopPx, px(t), bottom, "#ddd");
    out += label(px(t), bottom + 16, tick_text(t), "middle");
  }
  for (const double t : ticks(y_axis.low, y_axis.high, plot.log_y)) {
    out += line(kLeftPx, py(t), right, py(t), "#ddd");
    out += label(kLeftPx - 6, py(t) + 4, tick_text(t), "end");
  }
  out +=
      line(kLeftPx, bottom, right, bottom, "#444") + line(kLeftPx, kTopPx, kLeftPx, bottom, "#444");
  out += label((kLeftPx + right) / 2, height_of(plot) - 8, plot.x_label, "middle");
  out += label(14, (kTopPx + bottom) / 2, plot.y_label, "middle",
               " transform=\"rotate(-90 14 " + coordinate((kTopPx + bottom) / 2) + ")\"");
  std::vector<NamedPoint> named;
  for (size_t i = 0; i < lines.size(); ++i) {
    const char* colour = kColours[i % std::size(kColours)];
    std::string points;
    for (const auto& [x, y] : lines[i]) points += coordinate(px(x)) + "," + coordinate(py(y)) + " ";
    if (!points.empty()) points.pop_back();
    if (plot.series[i].joined) {
      out += "<polyline fill=\"none\" stroke-width=\"1.6\" stroke=\"" + std::string(colour) +
             "\" points=\"" + points + "\"/>\n";
    }
    for (const ErrorBar& bar : drawable_bars(plot, plot.series[i])) {
      out += bar_line(px(bar.x), py(bar.low), py(bar.high), colour);
    }
    for (NamedPoint& point : named_points(plot, plot.series[i], px, py, colour)) {
      named.push_back(std::move(point));
    }
    const double y = kTopPx + 12 + double(i) * kLegendLine;
    if (plot.large) {
      out += line(right + 8, y - 4, right + 26, y - 4, colour);
      out += label(right + 32, y, plot.series[i].name, "start");
    } else {
      out += line(right - 22, y - 4, right - 4, y - 4, colour);
      out += label(right - 28, y, plot.series[i].name, "end");
    }
  }
  Names names({kLeftPx, kTopPx, right, bottom}, named);
  for (size_t i = 0; i < lines.size(); ++i) {
    for (size_t k = 1; plot.series[i].joined && k < lines[i].size(); ++k) {
      names.avoid_line(px(lines[i][k - 1].first), py(lines[i][k - 1].second), px(lines[i][k].first),
                       py(lines[i][k].second));
    }
  }
  std::string dots;  // above the lines to the names
  for (const NamedPoint& point : named) {
    out += names.beside(point);
    dots += "<circle cx=\"" + coordinate(point.x) + "\" cy=\"" + coordinate(point.y) +
            "\" r=\"3\" fill=\"" + std::string(point.colour) + "\"/>\n";
  }
  return out + dots;
}

}  // namespace

std::vector<double> ticks(double low, double high, bool logarithmic) {
  constexpr size_t kFewestTicks = 3;
  std::vector<double> found;
  if (!(low < high) || (logarithmic && low <= 0)) return found;
  if (logarithmic) {
    const int first = int(std::floor(std::log10(low))), last = int(std::ceil(std::log10(high)));
    const bool few = std::log10(high / low) < 2.5;
    for (int power = first; power <= last; ++power) {
      for (const double step : {1.0, 2.0, 5.0}) {
        const double t = step * std::pow(10.0, power);
        if (t >= low && t <= high && (few || step == 1)) found.push_back(t);
      }
    }
    if (found.size() >= kFewestTicks) return found;
    found.clear();  // less than a decade: as on a plain axis
  }
  constexpr double kAbout = 6;
  const double rough = (high - low) / kAbout, power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= rough) step = factor * power;
  }
  // Adding zero turns -0 into 0.
  for (double k = std::ceil(low / step); k * step <= high; ++k) found.push_back(k * step + 0.0);
  return found;
}

std::string svg_of(const std::vector<Plot>& plots) {
  int width = plots.empty() ? kWidth : 0, height = kHeight;
  for (const Plot& plot : plots) {
    width += width_of(plot);
    height = std::max(height, height_of(plot));
  }
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + std::to_string(width) +
                    "\" height=\"" + std::to_string(height) + "\" viewBox=\"0 0 " +
                    std::to_string(width) + " " + std::to_string(height) +
                    "\" font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n"
                    "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
  int left = 0;
  for (const Plot& plot : plots) {
    out +=
        "<g transform=\"translate(" + std::to_string(left) + " 0)\">\n" + svg_of(plot) + "</g>\n";
    left += width_of(plot);
  }
  return out + "</svg>\n";
}

}  // namespace pangu::eval
