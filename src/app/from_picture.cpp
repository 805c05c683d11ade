#include "app/from_picture.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "app/home.h"
#include "core/error.h"
#include "pipeline/model.h"
#include "pipeline/picture_text.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostModels = 1000;  // of the folders that are searched for one of other names

bool is_at(const fs::path& path) {
  std::error_code unreadable;
  return fs::exists(path, unreadable);
}

std::optional<io::ContentMark> mark_of(const std::string& path) {
  try {
    return io::content_mark(path);
  } catch (const std::exception&) {  // who reads it says why it cannot be read
    return {};
  }
}

std::string found_input(const pipeline::KeptInput& input, const std::string& picture,
                        std::map<std::string, std::string>& changed) {
  std::vector<std::string> places = {input.path};
  if (!input.relative.empty()) {
    const fs::path beside = fs::path(picture).parent_path() / input.relative;
    places.push_back(beside.lexically_normal().string());
  }
  std::erase_if(places, [](const std::string& path) { return !is_at(path); });
  if (places.empty()) return input.path;
  if (!input.mark) return places.front();
  for (const std::string& path : places) {
    if (mark_of(path) == input.mark) return path;
  }
  const std::string what =
      input.mark->kind == "sha256" ? "its SHA-256 is another" : "its size or contents are others";
  changed[places.front()] =
      "'" + places.front() + "' is not the file that '" + picture + "' was drawn with: " + what;
  return places.front();
}

std::string name_of_model(const fs::path& path) {
  std::error_code unreadable;
  return (fs::is_directory(path, unreadable) ? path.filename() : path.stem()).string();
}

std::vector<fs::path> search_folders(const std::string& picture) {
  std::vector<fs::path> folders = model_folders();
  const fs::path beside = fs::path(picture).parent_path();
  folders.push_back(beside.empty() ? "." : beside);
  folders.push_back(beside / "models");
  return folders;
}

// As it was said, then those of its name, then all others.
std::vector<std::string> candidates_of(const pipeline::ModelMark& mark,
                                       const std::string& picture) {
  std::vector<std::string> named, others;
  if (!mark.path.empty() || !mark.fingerprint.empty()) {
    try {
      model_path(mark.path);
      named.push_back(mark.path);  // "" stays the embedded model
    } catch (const Error&) {
    }
  }
  for (const fs::path& folder : search_folders(picture)) {
    std::error_code failed;
    std::vector<fs::path> entries;
    for (const auto& entry : fs::directory_iterator(folder, failed)) {
      const fs::path& path = entry.path();
      const std::string suffix = path.extension().string();
      const bool weights = suffix == ".safetensors" || suffix == ".ckpt";
      if (weights || is_at(path / "model_index.json")) entries.push_back(path);
    }
    std::sort(entries.begin(), entries.end());
    for (const fs::path& path : entries) {
      (name_of_model(path) == mark.name ? named : others).push_back(path.string());
    }
  }
  if (mark.fingerprint.empty()) return named;
  named.insert(named.end(), others.begin(), others.end());
  if (named.size() > kMostModels) named.resize(kMostModels);
  return named;
}

// To be looked at alone, without what it is drawn with; with it where it is not whole otherwise.
std::optional<pipeline::Model> opened(const std::string& path, const pipeline::LoadOptions& load) {
  pipeline::LoadOptions alone, whole = load;
  alone.tokenizers = load.tokenizers;
  whole.device = alone.device;
  for (const pipeline::LoadOptions& options : {alone, whole}) {
    try {
      return pipeline::load_model(model_path(path).string(), options);
    } catch (const std::exception&) {  // no model, or a broken one: not that of the picture
    }
  }
  return {};
}

std::string list_of(const std::vector<fs::path>& folders) {
  std::string list;
  for (const fs::path& folder : folders) list += (list.empty() ? "" : ", ") + folder.string();
  return list;
}

}  // namespace

FromPicture from_picture(const std::string& path) {
  FromPicture from;
  from.path = path;
  from.story = pipeline::story_of_picture(path, [&](const pipeline::KeptInput& input) {
    return found_input(input, path, from.changed);
  });
  return from;
}

void warn_of_differences(const FromPicture& from, const nlohmann::json& document,
                         Warnings& warnings) {
  nlohmann::json read = document;
  pipeline::replace_paths(read, [&](const std::string& path) {
    const auto changed = from.changed.find(path);
    if (changed != from.changed.end()) warnings(changed->second);
    return path;
  });
  const auto& story = from.story;
  if (!story.difference.empty()) warnings("'" + from.path + "': " + story.difference);
  std::string unmatched;
  for (const std::string& one : story.unmatched) unmatched += (unmatched.empty() ? "" : "; ") + one;
  if (!unmatched.empty()) {
    warnings("'" + from.path + "' of " + story.origin +
             " says what has no counterpart here: " + unmatched);
  }
}

std::string found_model(const pipeline::ModelMark& mark, const std::string& picture,
                        const pipeline::LoadOptions& load) {
  bool other_weights = false;
  for (const std::string& candidate : candidates_of(mark, picture)) {
    if (mark.fingerprint.empty()) return candidate;
    const auto model = opened(candidate, load);
    if (!model) continue;
    if (model->fingerprint == mark.fingerprint) return candidate;
    other_weights = other_weights || model->name == mark.name;
  }
  const std::string name = mark.name.empty() ? "" : " '" + mark.name + "'";
  throw bad_input("the model" + name + " of '" + picture + "'",
                  mark.fingerprint.empty() ? "one of this name"
                                           : "its weights (fingerprint " + mark.fingerprint + ")",
                  std::string(other_weights ? "other weights of this name" : "none") + " in " +
                      list_of(search_folders(picture)),
                  "--model FILE says where it is, or draws with another");
}

pipeline::Recipe with_found_models(const FromPicture& from, const pipeline::LoadOptions& load,
                                   const std::string& hub_model) {
  pipeline::Recipe recipe = *from.story.recipe;
  for (pipeline::MemberSpec& member : recipe.members) {
    if (member.hub && !hub_model.empty()) {
      member.model = hub_model;
      continue;
    }
    const auto mark = from.story.marks.find(member.name);
    if (mark == from.story.marks.end()) continue;
    pipeline::LoadOptions options = member.load;
    options.device = load.device;
    options.tokenizers = load.tokenizers;
    member.model = found_model(mark->second, from.path, options);
  }
  return recipe;
}

}  // namespace pangu::app
