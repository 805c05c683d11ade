// Commands that live in a shared library of their own, which the program loads when they are first
// asked for. Who only draws neither builds nor loads them. The flags of such a command are the
// program's (cli.cpp), so that --help lists them all; the library gets them as the command's
// struct.
#pragma once
#include <string>

namespace pangu::app {

// A late library: its file lies beside that of the program's own library.
struct LateLibrary {
  const char* file;     // "libpangu_NAME.so"
  const char* purpose;  // of its commands, for the error: "training and evaluation"
  const char* target;   // of the build, that makes it
};

inline constexpr LateLibrary kTraining{"libpangu_training.so", "training and evaluation",
                                       "pangu_training"};

inline constexpr LateLibrary kServer{"libpangu_server.so", "the server", "pangu_server"};

// The function that `library` exports under `name`. The library stays loaded. Throws kUnavailable
// if it is not there, or is of another version and lacks the function.
void* late_function(const LateLibrary& library, const char* name);

// Calls the exported `int name(const Args&...)` of `library`.
template <class... Args>
int run_late(const LateLibrary& library, const char* name, const Args&... args) {
  return reinterpret_cast<int (*)(const Args&...)>(late_function(library, name))(args...);
}

}  // namespace pangu::app
