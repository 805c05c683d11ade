#include "app/late_library.h"

#include <dlfcn.h>

#include "core/error.h"

namespace pangu::app {

void* late_function(const LateLibrary& library, const char* name) {
  const auto missing = [&] {
    const char* why = dlerror();
    return Error(ErrorCode::kUnavailable,
                 std::string(library.purpose) + ": expected " + library.file +
                     " beside the program's own library, found none that loads: " +
                     (why ? why : "no function") +
                     ". Hint: ./pangu-draw builds it when such a command is used; by hand, cmake "
                     "--build --preset release --target " +
                     library.target);
  };
  // Found by the run path of this library: in its own folder, built and installed alike.
  void* handle = dlopen(library.file, RTLD_LAZY);
  if (!handle) throw missing();
  void* function = dlsym(handle, name);
  if (!function) throw missing();
  return function;
}

}  // namespace pangu::app
