#include "pipeline/tiles.h"

#include <torch/types.h>

#include <algorithm>

namespace pangu::pipeline {
namespace {

// What lies next to a tile's edge has seen zeros for what is behind it: this part of the overlap
// counts nothing.
constexpr double kBlind = 0.25;

// Weight along one side of a tile's output: rises over the overlap where a neighbour follows.
at::Tensor ramp(int64_t length, int64_t overlap, bool first, bool last) {
  at::Tensor weight = at::ones({length}, at::kFloat);
  const at::Tensor part = (at::arange(overlap, at::kFloat) + 0.5) / static_cast<double>(overlap);
  const at::Tensor rise = ((part - kBlind) / (1 - 2 * kBlind)).clamp(0, 1);
  if (!first) weight.slice(0, 0, overlap).copy_(rise);
  if (!last) weight.slice(0, length - overlap, length).mul_(rise.flip(0));
  return weight;
}

}  // namespace

std::vector<int64_t> tile_starts(int64_t length, int64_t tile, int64_t overlap) {
  if (tile <= 0 || length <= tile) return {0};
  const int64_t step = tile - overlap;
  const int64_t count = (length - overlap + step - 1) / step;
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < count; ++i) starts.push_back(i * (length - tile) / (count - 1));
  return starts;
}

at::Tensor in_tiles(const std::function<at::Tensor(const at::Tensor& tile)>& pass,
                    const at::Tensor& input, const Tiling& tiling) {
  const int64_t height = input.size(2), width = input.size(3);
  const auto on_grid = [&](std::vector<int64_t> starts) {
    for (int64_t& start : starts) start = start / tiling.down * tiling.down;
    return starts;
  };
  const auto rows = on_grid(tile_starts(height, tiling.tile, tiling.overlap));
  const auto columns = on_grid(tile_starts(width, tiling.tile, tiling.overlap));
  if (rows.size() == 1 && columns.size() == 1) return pass(input);
  const auto out = [&](int64_t length) { return length * tiling.up / tiling.down; };

  at::Tensor sum, weights;
  for (size_t r = 0; r < rows.size(); ++r) {
    // A tile that was moved onto the grid ends where the picture does.
    const bool last_row = r + 1 == rows.size();
    const int64_t row_end =
        last_row ? height : std::min(height, rows[r] + std::min(tiling.tile, height));
    for (size_t c = 0; c < columns.size(); ++c) {
      const bool last_column = c + 1 == columns.size();
      const int64_t column_end =
          last_column ? width : std::min(width, columns[c] + std::min(tiling.tile, width));
      const at::Tensor tile =
          pass(input.slice(2, rows[r], row_end).slice(3, columns[c], column_end)).to(at::kFloat);
      const int64_t overlap = out(tiling.overlap);
      const at::Tensor weight =
          (ramp(tile.size(2), overlap, r == 0, last_row).view({1, 1, -1, 1}) *
           ramp(tile.size(3), overlap, c == 0, last_column).view({1, 1, 1, -1}))
              .to(tile.device());
      if (!sum.defined()) {
        sum = at::zeros({tile.size(0), tile.size(1), out(height), out(width)}, tile.options());
        weights = at::zeros({1, 1, out(height), out(width)}, tile.options());
      }
      const auto part = [&](const at::Tensor& whole) {
        return whole.slice(2, out(rows[r]), out(rows[r]) + tile.size(2))
            .slice(3, out(columns[c]), out(columns[c]) + tile.size(3));
      };
      part(sum).add_(tile * weight);
      part(weights).add_(weight);
    }
  }
  return sum / weights;
}

}  // namespace pangu::pipeline
