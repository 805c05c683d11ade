// Edge maps drawn by hand, whose precision and recall can be counted on paper.
#include "image/edge_match.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"

namespace pangu::image {
namespace {

// '#' is an edge.
Image map_of(const std::vector<std::string>& rows) {
  Image map = filled(int(rows[0].size()), int(rows.size()), {0, 0, 0});
  for (int y = 0; y < map.height; ++y) {
    for (int x = 0; x < map.width; ++x) {
      if (rows[size_t(y)][size_t(x)] == '#') std::fill_n(map.at(x, y), 3, 255);
    }
  }
  return map;
}

Image column(int width, int height, int x) {
  std::string row(size_t(width), '.');
  if (x >= 0) row[size_t(x)] = '#';
  return map_of(std::vector<std::string>(size_t(height), row));
}

TEST_CASE("equal maps follow each other") {
  const EdgeMatch m = match_edges(column(9, 5, 4), column(9, 5, 4), 0);
  CHECK(m.found == 5);
  CHECK(m.asked_near == 5);
  CHECK(m.f1() == 1.0);
}

TEST_CASE("a line within the tolerance counts, one beyond it does not") {
  CHECK(match_edges(column(12, 6, 3), column(12, 6, 5), 2).f1() == 1.0);
  CHECK(match_edges(column(12, 6, 3), column(12, 6, 6), 2).f1() == 0.0);
  CHECK(match_edges(column(12, 6, 3), column(12, 6, 6), 3).f1() == 1.0);
}

TEST_CASE("the tolerance is a disc, not a square") {
  const Image a = map_of({"#....", ".....", ".....", ".....", "....."});
  const Image two_right = map_of({"..#..", ".....", ".....", ".....", "....."});
  const Image two_diagonal = map_of({".....", ".....", "..#..", ".....", "....."});
  CHECK(match_edges(a, two_right, 2).f1() == 1.0);
  CHECK(match_edges(a, two_diagonal, 2).f1() == 0.0);
}

TEST_CASE("precision is the result's share, recall the asked map's, and they swap with the roles") {
  const Image asked = map_of({"######....", "..........", "..........", ".........."});
  const Image found = map_of({"###.......", "..........", "..........", "#........."});
  const EdgeMatch m = match_edges(found, asked, 0);
  CHECK(m.precision() == 3.0 / 4);
  CHECK(m.recall() == 3.0 / 6);
  CHECK(m.f1() == doctest::Approx(0.6));
  const EdgeMatch swapped = match_edges(asked, found, 0);
  CHECK(swapped.precision() == m.recall());
  CHECK(swapped.recall() == m.precision());
  CHECK(swapped.f1() == m.f1());
}

TEST_CASE("empty maps follow empty ones alone") {
  const Image none = column(6, 6, -1), line = column(6, 6, 2);
  CHECK(match_edges(none, none).f1() == 1.0);
  CHECK(match_edges(none, line).f1() == 0.0);
  CHECK(match_edges(line, none).f1() == 0.0);
  CHECK(match_edges(none, line).recall() == 0.0);
  CHECK(match_edges(line, none).precision() == 0.0);
}

TEST_CASE("a tolerance beyond the picture finds everything near") {
  const Image corner = map_of({"#..", "...", "..."}), other = map_of({"...", "...", "..#"});
  CHECK(match_edges(corner, other, 1 << 30).f1() == 1.0);
}

TEST_CASE("maps of different sizes are refused") {
  CHECK_THROWS_AS(match_edges(column(6, 6, 2), column(6, 5, 2)), Error);
  CHECK_THROWS_AS(match_edges(column(6, 6, 2), {}), Error);
  CHECK_THROWS_AS(match_edges(column(6, 6, 2), column(6, 6, 2), -1), Error);
}

}  // namespace
}  // namespace pangu::image
