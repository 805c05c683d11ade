// What lies beside the weights of an adapter and changes the mathematics: diffusers' metadata
// "lora_adapter_metadata" and PEFT's adapter_config.json. Not the tensors.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/weights_file.h"

namespace pangu::io {

// Under this key of Metadata the text of an adapter_config.json goes along with a file's own.
inline constexpr const char* kAdapterConfigKey = "adapter_config.json";

// The metadata of a LoRA file, with PEFT's adapter_config.json if it lies beside a file of PEFT's
// name (adapter_model.*) or in the folder that `path` is.
Metadata lora_metadata(const WeightsFile& file, const std::string& path);

struct LoraSettings {
  // By component; under "" what holds for every component that says nothing itself.
  std::map<std::string, double> alphas;
  std::map<std::string, std::vector<std::pair<std::string, double>>> alpha_patterns;
  std::map<std::string, bool> divide_by_root;  // the scale is alpha / sqrt(rank): rsLoRA
  std::map<std::string, double> ranks;         // where the tensors of a module have none
  std::set<std::string> dora;                  // components whose adapters must have norms

  // Of one module. A pattern matches the whole path or its end behind a point, as in PEFT.
  std::optional<double> alpha_of(const std::string& component, const std::string& module) const;
  bool divides_by_root(const std::string& component) const;
  std::optional<double> rank_of(const std::string& component) const;
};

// Error kBadInput naming the key that is no number, a pattern that is more than a module's path, or
// a kind of adapter that is not supported.
LoraSettings lora_settings_of(const Metadata& metadata, const std::string& name);

}  // namespace pangu::io
