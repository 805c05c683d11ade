#include "app/cache_folder.h"

#include <cstdlib>

namespace pangu::app {

namespace fs = std::filesystem;

fs::path cache_folder() {
  const auto said = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  fs::path caches = said("XDG_CACHE_HOME");
  if (caches.empty() && !said("HOME").empty()) caches = said("HOME") / ".cache";
  return caches.empty() ? caches : caches / "pangu-draw";
}

}  // namespace pangu::app
