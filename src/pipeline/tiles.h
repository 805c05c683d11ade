// A picture too large for one pass of an autoencoder, in overlapping tiles that are faded into each
// other. It knows no network: passes are callables.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace pangu::pipeline {

// Beginnings of tiles of `tile` that cover `length` with at least `overlap` in common, evenly
// spread; {0} if one does. REQUIRES 0 <= overlap < tile.
std::vector<int64_t> tile_starts(int64_t length, int64_t tile, int64_t overlap);

struct Tiling {
  int64_t tile = 0;     // side of a tile in the input's pixels; 0: the whole at once
  int64_t overlap = 0;  // of neighbours, likewise
  // Output pixels an input pixel: up / down (decoder f / 1, encoder 1 / f).
  int64_t up = 1, down = 1;
};

// input: [B,C,H,W]; pass: a tile -> [B,C',h*up/down,w*up/down]. Every output pixel is the mean of
// the tiles that cover it, weighted by their distance from the tile's edge, so that nothing jumps
// where a tile ends; the outermost quarter of an overlap counts nothing. Tile and overlap must be
// multiples of `down`.
at::Tensor in_tiles(const std::function<at::Tensor(const at::Tensor& tile)>& pass,
                    const at::Tensor& input, const Tiling& tiling);

}  // namespace pangu::pipeline
