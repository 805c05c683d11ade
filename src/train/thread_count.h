// How many threads the operators of one thread use, for threads that training begins itself.
#pragma once

namespace pangu::train {

// From now on operators that the calling thread runs use `count` threads; no other thread is
// changed. at::set_num_threads is no means to that: it also changes what every thread starts with
// that the process begins later. Builds of libtorch without OpenMP keep their number.
void use_threads_here(int count);

}  // namespace pangu::train
