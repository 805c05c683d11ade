#include "train/metrics_page.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

namespace pangu::train {
namespace {

constexpr double kWidth = 860, kHeight = 260;                       // of one plot, SVG units
constexpr double kLeft = 64, kRight = 12, kTop = 12, kBottom = 28;  // margins inside it
constexpr size_t kMostPoints = 500;  // more than that no screen shows
constexpr double kSmoothing = 0.02;  // time constant of the smooth curve, share of the run

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --ink: #222; --faint: #8884; --line: #1f6fb2; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --line: #6db3f2; } }
body { font: 14px system-ui, sans-serif; color: var(--ink); max-width: 900px; margin: 2em auto; }
svg { width: 100%; height: auto; display: block; }
text { font: 11px system-ui, sans-serif; fill: var(--ink); }
.grid { stroke: var(--faint); }
.raw { fill: none; stroke: var(--line); opacity: .3; }
.smooth { fill: none; stroke: var(--line); stroke-width: 2; }
td { padding: 0 1.5em 0 0; }
)";

struct Series {
  std::vector<double> x, y;
};

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<' || c == '>' || c == '&' || c == '"') {
      out += "&#" + std::to_string(static_cast<int>(c)) + ";";
    } else {
      out += c;
    }
  }
  return out;
}

// Means of equal stretches.
Series thinned(const Series& s) {
  if (s.x.size() <= kMostPoints) return s;
  Series out;
  for (size_t i = 0; i < kMostPoints; ++i) {
    const size_t first = s.x.size() * i / kMostPoints, last = s.x.size() * (i + 1) / kMostPoints;
    double x = 0, y = 0;
    for (size_t k = first; k < last; ++k) {
      x += s.x[k];
      y += s.y[k];
    }
    out.x.push_back(x / double(last - first));
    out.y.push_back(y / double(last - first));
  }
  return out;
}

// Exponential moving average over steps, started without bias.
Series smoothed(const Series& s) {
  Series out = s;
  const double width = std::max(1e-9, (s.x.back() - s.x.front()) * kSmoothing);
  double sum = 0, weight = 0;
  for (size_t i = 0; i < s.x.size(); ++i) {
    const double keep = i == 0 ? 0 : std::exp(-(s.x[i] - s.x[i - 1]) / width);
    sum = sum * keep + s.y[i];
    weight = weight * keep + 1;
    out.y[i] = sum / weight;
  }
  return out;
}

// 1, 2 or 5 times a power of ten, four to nine of them in the range.
double nice_step(double range) {
  const double raw = range / 5, power = std::pow(10.0, std::floor(std::log10(raw)));
  const double times = raw / power;
  return power * (times < 1.5 ? 1 : times < 3.5 ? 2 : times < 7.5 ? 5 : 10);
}

struct Axis {
  double low, high;
  bool logarithmic;
  double share(double v) const {  // 0 at low, 1 at high
    return logarithmic ? std::log(v / low) / std::log(high / low) : (v - low) / (high - low);
  }
  std::vector<double> ticks() const {
    std::vector<double> list;
    if (logarithmic && high / low > 5) {
      for (double power = std::pow(10.0, std::floor(std::log10(low))); power <= high; power *= 10) {
        for (const double times : {1.0, 2.0, 5.0}) {
          if (power * times >= low && power * times <= high) list.push_back(power * times);
        }
      }
      return list;
    }
    const double step = nice_step(high - low);
    for (double k = std::ceil(low / step); k * step <= high * (1 + 1e-9); ++k) {
      list.push_back(k * step);
    }
    return list;
  }
};

Axis axis_of(const std::vector<double>& values, bool logarithmic) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  if (logarithmic && *low > 0) return {*low * 0.97, *high * 1.03, true};
  const double margin = *high > *low ? (*high - *low) * 0.04 : std::max(1e-9, std::abs(*high));
  return {std::min(0.0, *low), *high + margin, false};
}

std::string line_of(const char* name, const Series& s, const Axis& x, const Axis& y) {
  std::string points;
  for (size_t i = 0; i < s.x.size(); ++i) {
    char text[48];
    std::snprintf(text, sizeof text, "%.1f,%.1f ",
                  kLeft + x.share(s.x[i]) * (kWidth - kLeft - kRight),
                  kHeight - kBottom - y.share(s.y[i]) * (kHeight - kTop - kBottom));
    points += text;
  }
  return std::string("<polyline class=\"") + name + "\" points=\"" + points + "\"/>\n";
}

std::string plot(const std::string& label, const Series& all, bool logarithmic) {
  std::string svg = "<h2>" + label + "</h2>\n";
  if (all.x.empty()) return svg + "<p>Nothing is logged yet.</p>\n";
  const Series raw = thinned(all), smooth = thinned(smoothed(all));
  Axis x{raw.x.front(), raw.x.back(), false};
  if (x.high <= x.low) x.low = x.high - 1;
  std::vector<double> shown = raw.y;
  shown.insert(shown.end(), smooth.y.begin(), smooth.y.end());
  const Axis y = axis_of(shown, logarithmic);
  svg += "<svg viewBox=\"0 0 " + number(kWidth) + " " + number(kHeight) + "\">\n";
  for (const double tick : y.ticks()) {
    const std::string at = number(kHeight - kBottom - y.share(tick) * (kHeight - kTop - kBottom));
    svg += "<line class=\"grid\" x1=\"" + number(kLeft) + "\" x2=\"" + number(kWidth - kRight) +
           "\" y1=\"" + at + "\" y2=\"" + at + "\"/><text text-anchor=\"end\" dy=\"4\" x=\"" +
           number(kLeft - 6) + "\" y=\"" + at + "\">" + number(tick) + "</text>\n";
  }
  for (const double tick : x.ticks()) {
    const std::string at = number(kLeft + x.share(tick) * (kWidth - kLeft - kRight));
    svg += "<text text-anchor=\"middle\" x=\"" + at + "\" y=\"" + number(kHeight - 8) + "\">" +
           std::to_string(static_cast<int64_t>(std::llround(tick))) + "</text>\n";
  }
  return svg + line_of("raw", raw, x, y) + line_of("smooth", smooth, x, y) + "</svg>\n";
}

}  // namespace

std::string metrics_page(const std::string& title, std::string_view jsonl) {
  Series loss, rate, speed;
  double last_step = -1, seconds = 0, skipped = 0;
  while (!jsonl.empty()) {
    const size_t end = std::min(jsonl.find('\n'), jsonl.size());
    const nlohmann::json entry = nlohmann::json::parse(jsonl.substr(0, end), nullptr, false);
    jsonl.remove_prefix(std::min(end + 1, jsonl.size()));
    if (!entry.is_object()) continue;
    const auto value = [&](const char* key) {
      const auto found = entry.find(key);  // what is not finite was written as null
      return found != entry.end() && found->is_number() ? found->get<double>() : std::nan("");
    };
    const double step = value("step");
    if (!(step > last_step)) continue;
    last_step = step;
    const auto add = [&](Series& series_, const char* key) {
      const double y = value(key);
      if (!std::isfinite(y)) return;
      series_.x.push_back(step);
      series_.y.push_back(y);
    };
    add(loss, "loss");
    add(rate, "learning_rate");
    add(speed, "samples_per_second");
    if (std::isfinite(value("seconds"))) seconds = value("seconds");
    if (std::isfinite(value("skipped"))) skipped = value("skipped");
  }
  std::string page = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" +
                     escaped(title) + "</title><style>" + kStyle + "</style></head>\n<body><h1>" +
                     escaped(title) + "</h1>\n";
  if (!loss.x.empty()) {
    page += "<table><tr><td>step " + number(loss.x.back()) + "</td><td>loss " +
            number(smoothed(loss).y.back()) + "</td><td>" + number(seconds / 60) +
            " minutes of training</td><td>" + number(skipped) +
            " steps skipped</td></tr></table>\n";
  }
  page += plot("Loss", loss, true) + plot("Learning rate", rate, false) +
          plot("Samples a second", speed, false);
  return page + "</body></html>\n";
}

}  // namespace pangu::train
