#include "io/curl_library.h"

#include <dlfcn.h>

#include <string>

#include "core/error.h"

namespace pangu::io {
namespace {

// Debian's two builds of it have one interface.
constexpr const char* kCurlNames[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};

Error no_curl(const std::string& found) {
  return Error(ErrorCode::kUnavailable,
               "reading a URL: expected libcurl (libcurl.so.4), found " + found +
                   ". Hint: install it (Debian and Ubuntu: the package libcurl4); nothing is to be "
                   "built again");
}

template <class Function>
void find_function(void* library, const char* name, Function& function_) {
  void* found = dlsym(library, name);
  if (!found) throw no_curl(std::string("one without ") + name);
  function_ = reinterpret_cast<Function>(found);
}

CurlLibrary load_curl() {
  void* library = nullptr;
  for (const char* name : kCurlNames) {
    if (!library) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  }
  if (!library) throw no_curl("none that loads");
  CurlLibrary curl{};
  int (*global_init)(long) = nullptr;
  find_function(library, "curl_global_init", global_init);
  find_function(library, "curl_easy_init", curl.easy_init);
  find_function(library, "curl_easy_cleanup", curl.easy_cleanup);
  find_function(library, "curl_easy_reset", curl.easy_reset);
  find_function(library, "curl_easy_setopt", curl.easy_setopt);
  find_function(library, "curl_easy_perform", curl.easy_perform);
  find_function(library, "curl_easy_getinfo", curl.easy_getinfo);
  find_function(library, "curl_easy_strerror", curl.easy_strerror);
  if (global_init(kCurlGlobalDefault) != kCurlOk) throw no_curl("one that does not start");
  return curl;
}

}  // namespace

const CurlLibrary& curl_library() {
  static const CurlLibrary curl = load_curl();  // functions alone: it has no state of ours
  return curl;
}

}  // namespace pangu::io
