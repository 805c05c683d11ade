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
    if (fs::is_directory(folder / "models") && fs::is_directory(folder / "tools")) return folder;
  }
  return fs::current_path();
}

fs::path model_folder(const std::string& said) {
  const fs::path folder = said.empty() ? home() / "models" / "mini" : fs::path(said);
  if (!fs::exists(folder / "model_index.json")) {
    throw bad_input("model", "a folder with a model_index.json", folder.string(),
                    said.empty() ? "the embedded model is missing; pass --model FOLDER" : "");
  }
  return folder;
}

}  // namespace pangu::app
