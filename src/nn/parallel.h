// at::parallel_for for our own kernels. Without OpenMP, libtorch's header silently makes it a plain
// loop on one thread; a file that includes this one is compiled with -fopenmp (CMakeLists.txt), or
// not at all.
#pragma once
#ifndef _OPENMP
#error "at::parallel_for needs -fopenmp: name this file among the kernels in CMakeLists.txt"
#endif
#include <ATen/Parallel.h>
