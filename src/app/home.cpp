#include "app/home.h"

#include <cstdlib>
#include <string>

#include "core/error.h"

namespace pangu::app {
namespace fs = std::filesystem;

fs::path home() {
  if (const char* said = std::getenv("PANGU_HOME"); said && *said) return said;
  std::error_code failed;
  fs::path folder = fs::read_symlink("/proc/self/exe", failed);
  while (!failed && folder.has_relative_path()) {
    folder = folder.parent_path();
    const fs::path installed = folder / "share" / "pangu-draw";
    if (fs::is_directory(installed / "models")) return installed;
    if (fs::is_directory(folder / "models") && fs::is_directory(folder / "tools")) return folder;
  }
  return fs::current_path();
}

fs::path model_path(const std::string& said) {
  fs::path path = said.empty() ? home() / "models" / "mini" : fs::path(said);
  // "models/edges" is the embedded one from any folder.
  std::error_code unreadable;  // such as a name that is too long
  const auto exists = [&](const fs::path& file) { return fs::exists(file, unreadable); };
  if (!exists(path) && path.is_relative() && exists(home() / path)) path = home() / path;
  if (!exists(path)) {
    throw bad_input("model", "a folder in diffusers' layout or a .safetensors file", path.string(),
                    said.empty() ? "the embedded model is missing; pass --model" : "");
  }
  return path;
}

}  // namespace pangu::app
