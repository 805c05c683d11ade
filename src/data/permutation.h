// A permutation of 0 .. size-1 that is computed, not stored: any place of it costs the same and
// takes no memory, however many samples a dataset has. A balanced Feistel network over the next
// power of four, with cycle walking (Black and Rogaway 2002, "Ciphers with Arbitrary Finite
// Domains"); its rounds are Philox (core/rng.h). It is not meant for secrets.
#pragma once
#include <cstdint>

namespace pangu::data {

// A plain value. Equal sizes, seeds and streams give equal permutations on every machine.
class Permutation {
 public:
  // REQUIRES: size >= 1.
  Permutation(uint64_t size, uint64_t seed, uint64_t stream);

  // What stands at `place`. REQUIRES: place < size().
  uint64_t operator()(uint64_t place) const;

  uint64_t size() const { return size_; }

 private:
  uint64_t size_, seed_, stream_;
  int half_bits_ = 0;  // of the network's two halves
};

}  // namespace pangu::data
