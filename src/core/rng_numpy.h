// The random numbers of numpy.random.RandomState(seed), the generator behind np.random.seed: the
// released PanGu-Draw 3 draws its noise from it. It is a sequence, not a function of a counter, so
// anything new uses rng.h. Sources: MT19937, Matsumoto and Nishimura 1998; randn, Marsaglia's polar
// method as NumPy's "legacy" distributions keep it for reproducibility.
#pragma once
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace pangu {

// A copy gives the same numbers as the original from there on.
class NumpyRandom {
 public:
  // Throws kBadInput for a seed above 2^32 - 1, which NumPy refuses too.
  explicit NumpyRandom(uint64_t seed);
  uint32_t next_u32() { return engine_(); }
  double uniform();  // RandomState.random_sample: 53 bits, [0, 1)
  double normal();   // RandomState.randn, which makes numbers in pairs and keeps the second
  // Writes the next `count` normals, rounded to f32, as randn(...).astype(np.float32) does.
  void fill_normal(float* out, size_t count);
  // RandomState.permutation(count), and with its first numbers choice(count, ..., replace=False).
  // Throws kBadInput for a count above 2^32 - 1.
  std::vector<int64_t> permutation(uint64_t count);

 private:
  std::mt19937 engine_;
  double kept_ = 0.0;
  bool has_kept_ = false;
};

}  // namespace pangu
