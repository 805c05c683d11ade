#include "app/home.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>
#include <string>

#include "core/error.h"
#include "core/message.h"
#include "core/nearest.h"

namespace pangu::app {
namespace fs = std::filesystem;
namespace {

constexpr const char* kWeightSuffixes[] = {".safetensors", ".ckpt"};

bool is_there(const fs::path& path) {
  std::error_code unreadable;  // such as a name that is too long
  return fs::exists(path, unreadable);
}

bool is_weight_file(const fs::path& file) {
  return std::any_of(std::begin(kWeightSuffixes), std::end(kWeightSuffixes),
                     [&](const char* suffix) { return file.extension() == suffix; });
}

// Whether a model may be here: a file, or a folder with a model or weights in it. A folder of other
// things, such as pictures, may have the name of a model.
bool may_be_model(const fs::path& path) {
  std::error_code unreadable;
  if (!fs::is_directory(path, unreadable) || is_there(path / "model_index.json")) return true;
  for (const auto& entry : fs::directory_iterator(path, unreadable)) {
    if (is_weight_file(entry.path())) return true;
  }
  return false;
}

// "runwayml/stable-diffusion-v1-5", as the Hugging Face hub calls models.
bool is_hub_name(const std::string& said) {
  return std::count(said.begin(), said.end(), '/') == 1 && said.front() != '/' &&
         said.back() != '/' && !is_there(fs::path(said).parent_path()) &&
         !is_weight_file(fs::path(said));
}

// The hint of an error about a model that is not there.
std::string hint_of_names(const std::string& said) {
  const std::vector<std::string> names = model_names();
  if (is_hub_name(said)) {
    return "nothing is downloaded; name the folder or file of '" + said + "' on this machine";
  }
  const std::string near = did_you_mean(said, names);
  if (!near.empty() || names.empty()) return near;
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return "known by name are " + shortened(list);
}

}  // namespace

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

std::vector<fs::path> model_folders() {
  std::vector<fs::path> folders;
  if (const char* said = std::getenv("PANGU_MODELS")) {
    std::istringstream list(said);
    for (std::string folder; std::getline(list, folder, ':');) {
      if (!folder.empty()) folders.emplace_back(folder);
    }
  }
  folders.emplace_back("models");
  folders.push_back(home() / "models");
  return folders;
}

std::vector<std::string> model_names() {
  std::set<std::string> names;
  for (const fs::path& folder : model_folders()) {
    std::error_code failed;
    for (const auto& entry : fs::directory_iterator(folder, failed)) {
      const fs::path& path = entry.path();
      if (is_there(path / "model_index.json")) names.insert(path.filename().string());
      if (is_weight_file(path)) names.insert(path.stem().string());
    }
  }
  return {names.begin(), names.end()};
}

fs::path model_path(const std::string& said) {
  const fs::path path = said.empty() ? home() / "models" / "mini" : fs::path(said);
  if (is_there(path) && (path.has_parent_path() || may_be_model(path))) return path;
  if (path.is_relative()) {
    std::vector<fs::path> candidates = {home() / path};
    for (const fs::path& folder : model_folders()) {
      candidates.push_back(folder / path);
      for (const char* suffix : kWeightSuffixes) candidates.push_back(folder / (said + suffix));
    }
    for (const fs::path& candidate : candidates) {
      if (is_there(candidate) && may_be_model(candidate)) return candidate;
    }
  }
  if (is_there(path)) return path;  // who opens it says what is missing
  throw bad_input(
      "model", "a folder in diffusers' layout, a .safetensors file, or a model's name",
      "nothing at '" + shortened(path.string()) + "'",
      said.empty() ? "the embedded model is missing; pass --model" : hint_of_names(said));
}

}  // namespace pangu::app
