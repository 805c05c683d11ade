// Counter-based random numbers (Philox4x32-10, Salmon et al., SC 2011): the n-th number of a stream
// is a pure function of (seed, stream, n). Nothing is saved or restored to repeat a run: drawing
// keys a stream by the picture, training by the sample counter.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace pangu {

// Returns one block of four 32-bit numbers.
std::array<uint32_t, 4> philox4x32(uint64_t seed, uint64_t stream, uint64_t block);

// Fills `out` with the standard normals number offset to offset + count - 1 of a stream (Box-Muller
// on pairs).
void fill_normal(uint64_t seed, uint64_t stream, uint64_t offset, float* out, size_t count);

// A position in one stream, for draws of mixed kinds. A copy gives the same numbers as the original
// from there on.
class Rng {
 public:
  Rng(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}
  uint32_t next_u32();
  uint64_t below(uint64_t bound);  // uniform in [0, bound), bound >= 1
  double uniform();                // [0, 1)
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  double normal();

 private:
  uint64_t seed_, stream_, block_ = 0;
  std::array<uint32_t, 4> buffer_{};
  int left_ = 0;
};

}  // namespace pangu
