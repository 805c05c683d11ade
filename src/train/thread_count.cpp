#include "train/thread_count.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

namespace pangu::train {
namespace {

// The functions of the OpenMP and MKL that libtorch brings along, whose settings are per thread.
// They are looked up by name: naming them to the linker would load a second OpenMP beside
// libtorch's in some builds, and MKL is not in all of them.
template <class Result>
void call_if_there(const char* name, int count) {
  if (void* found = dlsym(RTLD_DEFAULT, name)) reinterpret_cast<Result (*)(int)>(found)(count);
}

}  // namespace

void use_threads_here(int count) {
  // libtorch gives a thread the process's number at its first operator, and would undo ours then.
  // It remembers in two places that it has: within its library, and in what its headers inline.
  at::get_num_threads();
  at::internal::lazy_init_num_threads();
  call_if_there<void>("omp_set_num_threads", count);
  call_if_there<int>("MKL_Set_Num_Threads_Local", count);
}

}  // namespace pangu::train
