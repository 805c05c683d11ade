// The program `pangu-draw`: it decides how OpenMP's threads wait, then loads the library that holds
// everything else (library.cpp) and hands over. It links no libtorch: libgomp reads its environment
// while it is being loaded, before main, so what this program asks of it must be there before the
// libraries that need it.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#if PANGU_MIMALLOC
#include <mimalloc.h>
#endif

// bench/peers measures another library in a process that is started like this one.
#ifndef PANGU_LIBRARY
#define PANGU_LIBRARY "libpangu_draw.so"
#endif

namespace {

// Rounds that a thread spins at a barrier before it sleeps. libgomp's own number, 300,000, is about
// a millisecond: two drawings on the same cores then spend their time slices on waiting for threads
// that are not running. bench/busy.py compares. On Intel's processors, where a sleeping thread
// wakes late, 800 cost a drawing by models/mini half of its speed; 2,000 is the most with which two
// side by side take no longer than one after the other.
constexpr const char *kSpins = "800", *kSpinsOnIntel = "2000";
constexpr int kUnavailable = 4;  // pangu::ErrorCode::kUnavailable's exit code

bool is_intels() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("intel");
#else
  return false;
#endif
}

void choose_waiting() {
  // What a person has chosen stays: OMP_WAIT_POLICY decides the number of spins too.
  if (std::getenv("OMP_WAIT_POLICY")) return;
  setenv("GOMP_SPINCOUNT", is_intels() ? kSpinsOnIntel : kSpins, 0);
}

void choose_allocation() {
#if PANGU_MIMALLOC
  // Activations are freed and asked for again every step: giving their pages back to the system and
  // faulting them in again costs a third of a training step.
#if MI_MALLOC_VERSION < 210
  mi_option_disable(mi_option_allow_decommit);
#else
  mi_option_set(mi_option_purge_delay, -1);
#endif
#endif
}

}  // namespace

int main(int argc, char** argv) {
#ifdef __AVX2__
  // An illegal instruction would say nothing.
  if (!__builtin_cpu_supports("avx2")) {
    std::fprintf(stderr,
                 "pangu-draw: error: processor: expected one with AVX2, found one without\n");
    return kUnavailable;
  }
#endif
  choose_waiting();
  choose_allocation();
  // Found by the program's run path: beside it in a build folder, in ../lib when installed.
  void* library = dlopen(PANGU_LIBRARY, RTLD_LAZY);
  using Run = int (*)(int, const char* const*);
  const auto run = library ? reinterpret_cast<Run>(dlsym(library, "pangu_run")) : nullptr;
  if (!run) {
    std::fprintf(stderr, "pangu-draw: error: cannot load its library: %s\n", dlerror());
    return kUnavailable;
  }
  const int code = run(argc, argv);
  // Destructors of static objects, most of them of libtorch's table of operators, would take as
  // long as several steps of a small model, to free what ends with the process.
  std::fflush(nullptr);
  std::_Exit(code);
}
