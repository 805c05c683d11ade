// Sets how many threads the operators of one thread use, for threads that training starts itself.
#pragma once

namespace pangu::train {

// From now on, operators that the calling thread runs use `count` threads; other threads are not
// changed. at::set_num_threads would also change the number for every thread that the process
// starts later. Builds of libtorch without OpenMP keep their number.
void use_threads_here(int count);

}  // namespace pangu::train
