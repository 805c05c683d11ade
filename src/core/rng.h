// Counter-based random numbers (Philox4x32-10, Salmon et al., SC 2011): the n-th number of a stream
// is a pure function of (seed, stream, n). Nothing is ever saved or restored to repeat a run:
// sampling keys a stream by the image, training by the sample counter.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace pangu {

// One block of four 32-bit numbers.
std::array<uint32_t, 4> philox4x32(uint64_t seed, uint64_t stream, uint64_t block);

// Standard normals (Box-Muller on pairs) number `offset`.. of a stream..
void fill_normal(uint64_t seed, uint64_t stream, uint64_t offset, float* out, size_t count);

// A cursor over one stream, for draws of mixed kinds. Copying it forks the same future.
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
