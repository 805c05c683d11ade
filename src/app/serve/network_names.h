// What a server's requests may name: models, LoRAs and further networks, as files and folders that
// lie in the folders of its configuration. A name is only ever compared with the names of what is
// there, so that no part of a request becomes part of a path.
#pragma once
#include <filesystem>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pipeline/load_options.h"

namespace pangu::app {

class NetworkNames {
 public:
  // folders: kind ("model", "lora", "controlnet", ...) -> list of folders. Those of models are
  // searched before model_folders() (app/home.h).
  explicit NetworkNames(const nlohmann::json& folders);

  // Sorted names of a kind: files of weights without their suffix, and folders of one network. It
  // looks into the folders again.
  std::vector<std::string> names(const std::string& kind) const;
  // The folders in which networks of a kind lie.
  std::vector<std::filesystem::path> folders(const std::string& kind) const;
  // Where it lies; an empty model's name is the embedded model. Error kBadInput hints at the
  // nearest names.
  std::string path_of(const std::string& kind, const std::string& name) const;
  bool has(const std::string& kind, const std::string& name) const;

  // A message without the folders of the paths in it, which are nobody's business.
  std::string without_folders(std::string message) const;

  // The same options with paths in the place of all names.
  pipeline::LoadOptions with_paths(pipeline::LoadOptions named) const;

 private:
  using Found = std::map<std::string, std::string>;  // name -> path
  Found look(const std::string& kind) const;

  std::map<std::string, std::vector<std::filesystem::path>> folders_;
};

// LoRAs that a prompt names by <lora:NAME:WEIGHT>, by name. Error kBadInput for a tag of another
// kind.
std::vector<pipeline::LoraUse> loras_named_in(const std::string& prompt);

}  // namespace pangu::app
