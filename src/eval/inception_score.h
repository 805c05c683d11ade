// The Inception Score, exp of the mean KL distance of a picture's classes from those of all
// pictures (Salimans et al. 2016), from sums: no picture's classes are kept. Pictures are dealt
// into splits by NumPy's permutation, as torch-fidelity does, so the score does not depend on who
// saw which picture.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace pangu::eval {

// As torch-fidelity's defaults, which the field's numbers are made with.
inline constexpr int64_t kScoreSplits = 10;
inline constexpr uint64_t kScoreSeed = 2020;

struct Spread {
  double mean = 0, deviation = 0;  // NaN: not measured
};

class InceptionScore {
 public:
  // total: of the pictures that will be added, by all processes together.
  explicit InceptionScore(int64_t total, int64_t splits = kScoreSplits, uint64_t seed = kScoreSeed);

  // logits: [B,C] of the pictures `first`, `first` + 1, ... of the total.
  void add(int64_t first, const at::Tensor& logits);
  // Adds the pictures of another process. REQUIRES: the same total, splits and seed.
  void add(const InceptionScore& other);

  // Of the splits' scores. NaN if a split has no picture.
  Spread score() const;

  // For files: [splits, C+2] f64, of each split the sums of its pictures' probabilities, the sum of
  // p log p over all of them, and their number. REQUIRES of set_sums: of the same splits.
  const at::Tensor& sums() const { return sums_; }
  void set_sums(const at::Tensor& sums) { sums_ = sums.to(at::kDouble); }

 private:
  int64_t splits_;
  std::vector<int32_t> split_of_;  // of every picture
  at::Tensor sums_;                // undefined at first
};

}  // namespace pangu::eval
