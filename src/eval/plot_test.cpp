// Charts as SVG: well-formed, in scale, small.
#include "eval/plot.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <regex>
#include <string>

namespace pangu::eval {
namespace {

// Every tag is closed in order, every attribute is quoted, and '&' begins only known entities.
bool well_formed(const std::string& svg) {
  std::vector<std::string> open;
  static const std::regex tag(R"(^<(/?)(\w+)((?: [\w:-]+="[^"<]*")*)(/?)>)");
  static const std::regex text(R"(^(?:[^<&]|&(?:amp|lt|gt|quot);)+)");
  auto at = svg.cbegin();
  std::smatch found;
  while (at != svg.cend()) {
    if (std::regex_search(at, svg.cend(), found, tag)) {
      if (found[1].length()) {
        if (open.empty() || open.back() != found[2]) return false;
        open.pop_back();
      } else if (!found[4].length()) {
        open.push_back(found[2]);
      }
    } else if (!std::regex_search(at, svg.cend(), found, text)) {
      return false;
    }
    at += found[0].length();
  }
  return open.empty();
}

std::vector<std::pair<double, double>> points_of(const std::string& svg) {
  std::smatch found;
  REQUIRE(std::regex_search(svg, found, std::regex("points=\"([^\"]*)\"")));
  std::vector<std::pair<double, double>> points;
  const std::string list = found[1];
  static const std::regex pair(R"(([\d.]+),([\d.]+))");
  for (std::sregex_iterator it(list.begin(), list.end(), pair), end; it != end; ++it) {
    points.emplace_back(std::stod((*it)[1]), std::stod((*it)[2]));
  }
  return points;
}

TEST_CASE("the checker of well-formed text refuses what is not") {
  CHECK(well_formed("<a x=\"1\"><b/>t &amp; u</a>"));
  CHECK_FALSE(well_formed("<a><b></a></b>"));
  CHECK_FALSE(well_formed("<a>x & y</a>"));
  CHECK_FALSE(well_formed("<a x=1></a>"));
  CHECK_FALSE(well_formed("<a>"));
}

TEST_CASE("charts are well-formed SVG whatever their words and numbers are") {
  const double inf = std::numeric_limits<double>::infinity();
  Plot odd{"<a> & \"b\"", "x < y", "y", true, true, {}};
  odd.series = {{"no & points", {}}, {"some", {{0, 1}, {-1, 2}, {inf, 1}, {1, std::nan("")}}}};
  Plot one{"one", "", "", false, false, {{"a point", {{3, 3}}}}};
  const std::string svg = svg_of({odd, one});
  CHECK(well_formed(svg));
  CHECK(svg.find("no data") != std::string::npos);
  CHECK(svg.find("&lt;a&gt; &amp; &quot;b&quot;") != std::string::npos);
  CHECK(points_of(svg).size() == 1);
  CHECK(well_formed(svg_of({})));
}

TEST_CASE("equal steps are equally far apart: plain, or as ratios on a logarithmic axis") {
  for (const bool logarithmic : {false, true}) {
    Plot plot{"", "", "", logarithmic, logarithmic, {{"line", {}}}};
    for (int i = 0; i < 4; ++i) {
      const double v = logarithmic ? std::pow(2, i) : i;
      plot.series[0].points.emplace_back(v, v);
    }
    const auto points = points_of(svg_of({plot}));
    REQUIRE(points.size() == 4);
    for (int i = 0; i < 3; ++i) {
      const double across = points[1].first - points[0].first;
      CHECK(std::abs(points[i + 1].first - points[i].first - across) < 0.21);
      CHECK(points[i + 1].second < points[i].second);  // y grows upwards
    }
  }
}

TEST_CASE("a long run is averaged down and its document stays small") {
  Plot plot{"loss", "step", "loss", false, true, {{"train", {}}}};
  for (int i = 0; i < 100000; ++i) plot.series[0].points.emplace_back(i, 1.0 + i % 2);
  const std::string svg = svg_of({plot, plot, plot});
  CHECK(svg.size() < 30000);
  CHECK(points_of(svg).size() == kMaxPlotPoints);
}

TEST_CASE("labelled points are dots with their names, joined or not, beside plain plots") {
  Plot plot{"two axes", "x", "y"};
  plot.large = true;
  plot.series = {{"a", {{1, 2}, {2, std::nan("")}, {3, 4}}, {"one", "lost", "<two>"}, false}};
  const std::string svg = svg_of({plot, Plot{"small", "x", "y"}});
  CHECK(well_formed(svg));
  CHECK(svg.find(">one<") != std::string::npos);
  CHECK(svg.find(">&lt;two&gt;<") != std::string::npos);
  CHECK(svg.find("lost") == std::string::npos);
  CHECK(svg.find("<polyline") == std::string::npos);
  plot.series[0].joined = true;
  CHECK(svg_of({plot}).find("<polyline") != std::string::npos);
}

TEST_CASE("names of points stay inside of the plot and hide neither points nor each other") {
  Plot plot{"", "x", "y"};
  plot.large = true;
  Series series{"a", {{0, 0}}, {"first"}, false};
  for (int i = 0; i < 24; ++i) {  // a crowd at the right edge
    series.points.emplace_back(1 - 0.01 * (i % 5), 1 - 0.01 * (i % 7));
    series.labels.push_back("point " + std::to_string(i));
  }
  plot.series = {series};
  const std::string svg = svg_of({plot});
  struct Box {
    double left, top, right, bottom;
  };
  std::vector<Box> boxes;
  static const std::regex name(
      R"re(<text x="([\d.]+)" y="([\d.]+)" text-anchor="middle" font-size="9"[^>]*>([^<]*)<)re");
  static const std::regex dot(R"re(<circle cx="([\d.]+)" cy="([\d.]+)")re");
  for (std::sregex_iterator it(svg.begin(), svg.end(), name), end; it != end; ++it) {
    const double x = std::stod((*it)[1]), y = std::stod((*it)[2]);
    const double half = 5.0 * double((*it)[3].length()) / 2;  // 5 px a letter of 9 px
    boxes.push_back({x - half, y - 8, x + half, y + 1});
    CHECK(x - half >= 58);         // the vertical axis
    CHECK(x + half <= 920 - 214);  // the legend
  }
  REQUIRE(boxes.size() == 25);
  for (std::sregex_iterator it(svg.begin(), svg.end(), dot), end; it != end; ++it) {
    const double x = std::stod((*it)[1]), y = std::stod((*it)[2]);
    boxes.push_back({x - 3, y - 3, x + 3, y + 3});
  }
  int hidden = 0;
  for (size_t i = 0; i < 25; ++i) {
    for (size_t k = i + 1; k < boxes.size(); ++k) {
      const Box &a = boxes[i], &b = boxes[k];
      hidden += std::min(a.right, b.right) > std::max(a.left, b.left) &&
                std::min(a.bottom, b.bottom) > std::max(a.top, b.top);
    }
  }
  CHECK(hidden == 0);
}

TEST_CASE("ticks are round numbers inside the range") {
  CHECK(ticks(0, 10, false) == std::vector<double>{0, 2, 4, 6, 8, 10});
  CHECK(ticks(0.1, 20, true) == std::vector<double>{0.1, 0.2, 0.5, 1, 2, 5, 10, 20});
  CHECK(ticks(3, 5.5, true) == std::vector<double>{3, 3.5, 4, 4.5, 5, 5.5});
  CHECK(ticks(0.01, 100, true).size() == 5);
  CHECK(ticks(1, 1, false).empty());
  CHECK_FALSE(std::signbit(ticks(-0.5, 10, false).front()));
}

}  // namespace
}  // namespace pangu::eval
