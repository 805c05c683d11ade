#include "app/serve/network_names.h"

#include <algorithm>
#include <system_error>

#include "app/home.h"
#include "core/error.h"
#include "core/nearest.h"
#include "text/prompt.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

// A file or folder that may be a network of a kind. Models of Python's pickles are the loader's to
// refuse or read.
bool may_be_network(const fs::path& path, const std::string& kind) {
  std::error_code failed;
  if (fs::is_directory(path, failed)) {
    if (kind == "model") return fs::exists(path / "model_index.json", failed);
    return fs::exists(path / "config.json", failed);
  }
  const std::string suffix = path.extension().string();
  if (suffix == ".safetensors" || suffix == ".ckpt") return true;
  return suffix == ".pt" && kind == "embedding";
}

}  // namespace

NetworkNames::NetworkNames(const nlohmann::json& folders) {
  for (const auto& [kind, list] : folders.items()) {
    for (const auto& folder : list) folders_[kind].emplace_back(folder.get<std::string>());
  }
  for (const fs::path& folder : model_folders()) folders_["model"].push_back(folder);
}

std::vector<fs::path> NetworkNames::folders(const std::string& kind) const {
  const auto found = folders_.find(kind);
  return found == folders_.end() ? std::vector<fs::path>() : found->second;
}

NetworkNames::Found NetworkNames::look(const std::string& kind) const {
  Found found;
  const auto folders = folders_.find(kind);
  if (folders == folders_.end()) return found;
  for (const fs::path& folder : folders->second) {
    std::error_code failed;
    for (const auto& entry : fs::directory_iterator(folder, failed)) {
      const fs::path& path = entry.path();
      if (!may_be_network(path, kind)) continue;
      const bool is_folder = fs::is_directory(path, failed);
      // What comes first hides others of its name.
      found.emplace((is_folder ? path.filename() : path.stem()).string(), path.string());
    }
  }
  return found;
}

std::vector<std::string> NetworkNames::names(const std::string& kind) const {
  std::vector<std::string> names;
  for (const auto& [name, path] : look(kind)) names.push_back(name);
  return names;
}

bool NetworkNames::has(const std::string& kind, const std::string& name) const {
  return look(kind).contains(name);
}

std::string NetworkNames::path_of(const std::string& kind, const std::string& name) const {
  if (kind == "model" && name.empty()) return model_path("").string();
  const Found found = look(kind);
  const auto place = found.find(name);
  if (place != found.end()) return place->second;
  std::vector<std::string> known;
  for (const auto& [other, path] : found) known.push_back(other);
  const std::string near = did_you_mean(name, known);
  throw bad_input(kind, "a name of GET /v1/capabilities or /v1/models",
                  "'" + name.substr(0, 100) + "'",
                  near.empty() && known.empty() ? "this server has none of this kind" : near);
}

std::string NetworkNames::without_folders(std::string message) const {
  const auto erase = [&](const fs::path& folder) {
    const std::string prefix = folder.string() + (folder.string().ends_with('/') ? "" : "/");
    for (size_t at = 0; (at = message.find(prefix, at)) != std::string::npos;) {
      message.erase(at, prefix.size());
    }
  };
  for (const auto& [kind, folders] : folders_) {
    for (const fs::path& folder : folders) erase(folder);
  }
  for (const fs::path& folder : model_folders()) erase(folder);
  erase(home());
  return message;
}

pipeline::LoadOptions NetworkNames::with_paths(pipeline::LoadOptions named) const {
  const auto replace = [&](const char* kind, std::string& name) {
    if (!name.empty()) name = path_of(kind, name);
  };
  for (pipeline::LoraUse& use : named.loras) replace("lora", use.path);
  for (std::string& name : named.controlnets) replace("controlnet", name);
  for (std::string& name : named.embeddings) replace("embedding", name);
  for (std::string& name : named.text_encoders) replace("text_encoder", name);
  replace("vae", named.vae);
  replace("unet", named.unet);
  replace("upscaler", named.upscaler);
  replace("refiner", named.refiner);
  return named;
}

std::vector<pipeline::LoraUse> loras_named_in(const std::string& prompt) {
  std::vector<pipeline::LoraUse> uses;
  for (const text::ExtraNetwork& tag : text::extract_networks(prompt).networks) {
    if (tag.kind != "lora") {
      throw bad_input("prompt, <" + tag.kind + ":" + tag.name + ">", "<lora:NAME:WEIGHT>",
                      "another kind of network");
    }
    const text::NetworkWeights weights = text::network_weights(tag);
    uses.push_back({tag.name, weights.unet, weights.text_encoder});
  }
  return uses;
}

}  // namespace pangu::app
