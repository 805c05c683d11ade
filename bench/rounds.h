// How the benchmarks of our kernels begin.
#pragma once
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "kernels/level.h"

namespace pangu::bench {

// The number of rounds, which is the first argument (7 if there is none), after a line that says
// what is measured.
inline int announced_rounds(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 7;
  std::printf("level %s, %d threads, medians of %d rounds\n",
              std::string(kernels::to_string(kernels::chosen_level())).c_str(),
              at::get_num_threads(), rounds);
  return rounds;
}

}  // namespace pangu::bench
