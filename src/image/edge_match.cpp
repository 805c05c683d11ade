// Edges near edges, by marking every pixel in reach of one. What the numbers mean is in the header.
#include "image/edge_match.h"

#include <algorithm>
#include <vector>

#include "core/error.h"

namespace pangu::image {
namespace {

constexpr uint8_t kBright = 128;

using Marks = std::vector<uint8_t>;

Marks edges_of(const Image& map) {
  Marks marks(static_cast<size_t>(map.width) * map.height);
  for (size_t i = 0; i < marks.size(); ++i) {
    marks[i] = map.pixels[i * static_cast<size_t>(map.channels)] >= kBright;
  }
  return marks;
}

// Every pixel in reach of a marked one.
Marks widened(const Marks& marks, int width, int height, int reach) {
  Marks wide(marks.size());
  for (int dy = -reach; dy <= reach; ++dy) {
    for (int dx = -reach; dx <= reach; ++dx) {
      if (dx * dx + dy * dy > reach * reach) continue;
      const int x0 = std::max(0, -dx), x1 = std::min(width, width - dx);
      for (int y = std::max(0, -dy); y < std::min(height, height - dy); ++y) {
        const size_t from = static_cast<size_t>(y) * width;
        const size_t to = static_cast<size_t>(y + dy) * width;
        for (int x = x0; x < x1; ++x) wide[to + x + dx] |= marks[from + x];
      }
    }
  }
  return wide;
}

int64_t count(const Marks& marks) { return std::count(marks.begin(), marks.end(), 1); }

int64_t count_both(const Marks& a, const Marks& b) {
  int64_t both = 0;
  for (size_t i = 0; i < a.size(); ++i) both += a[i] & b[i];
  return both;
}

}  // namespace

double EdgeMatch::f1() const {
  const double p = precision(), r = recall();
  return p + r > 0 ? 2 * p * r / (p + r) : 0.0;
}

EdgeMatch match_edges(const Image& found, const Image& asked, int tolerance_px) {
  if (found.empty() || found.width != asked.width || found.height != asked.height ||
      asked.empty() || tolerance_px < 0) {
    throw Error(ErrorCode::kInternal, "edge maps of different sizes, or a negative tolerance");
  }
  // Beyond the picture's diagonal everything is near.
  const int reach = std::min(tolerance_px, found.width + found.height);
  const Marks a = edges_of(found), b = edges_of(asked);
  EdgeMatch match;
  match.found = count(a);
  match.asked = count(b);
  match.found_near = count_both(a, widened(b, found.width, found.height, reach));
  match.asked_near = count_both(b, widened(a, found.width, found.height, reach));
  return match;
}

}  // namespace pangu::image
