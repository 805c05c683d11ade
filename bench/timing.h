// What the benchmarks share that take times by turns.
#pragma once
#include <algorithm>
#include <chrono>
#include <vector>

namespace pangu::bench {

template <class Call>
double seconds_of(const Call& call) {
  const auto begin = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The upper of the two in the middle where there is an even number. REQUIRES: not empty.
inline double median(std::vector<double> numbers) {
  const auto middle = numbers.begin() + static_cast<std::ptrdiff_t>(numbers.size() / 2);
  std::nth_element(numbers.begin(), middle, numbers.end());
  return *middle;
}

// Times of two calls that do the same, in seconds, by turns. The first round is not counted, in
// which memory is touched for the first time.
struct Pairs {
  std::vector<double> ours, theirs, ratios;  // ratio: theirs / ours

  template <class Ours, class Theirs>
  static Pairs by_turns(int rounds, const Ours& ours, const Theirs& theirs) {
    Pairs pairs;
    for (int round = 0; round <= rounds; ++round) {
      const double own = seconds_of(ours), other = seconds_of(theirs);
      if (round == 0) continue;
      pairs.ours.push_back(own), pairs.theirs.push_back(other), pairs.ratios.push_back(other / own);
    }
    return pairs;
  }
};

}  // namespace pangu::bench
