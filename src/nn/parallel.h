// at::parallel_for for our own kernels. Without OpenMP, libtorch's header silently makes it a plain
// loop on one thread; a file that includes this one is compiled with -fopenmp (CMakeLists.txt), or
// not at all.
#pragma once
#ifndef _OPENMP
#error "at::parallel_for needs -fopenmp: name this file among the kernels in CMakeLists.txt"
#endif
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

namespace pangu::nn {

// Calls run(task) for every task, each of which stands alone. Threads take one task after the other
// until none is left, so that they end together even where one of them is disturbed.
template <class Run>
void for_each_task(int64_t tasks, const Run& run) {
  std::atomic<int64_t> next = 0;
  at::parallel_for(0, std::min<int64_t>(tasks, at::get_num_threads()), 1, [&](int64_t, int64_t) {
    for (int64_t task = next++; task < tasks; task = next++) run(task);
  });
}

}  // namespace pangu::nn
