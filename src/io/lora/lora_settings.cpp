// Keys: PEFT's LoraConfig, LoHaConfig and LoKrConfig; diffusers writes one of them for every
// component, flattened to "unet.lora_alpha".
#include "io/lora/lora_settings.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_reader.h"
#include "io/json_file.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> kKinds = {"LORA", "LOHA", "LOKR"};

double number_in(const nlohmann::json& value, const std::string& what, const std::string& key) {
  if (!value.is_number()) throw bad_input(what, "a number as " + key, short_text(value));
  return value.get<double>();
}

// PEFT takes regular expressions; what people have there are paths, sometimes with a '^' before.
std::string path_of_pattern(std::string pattern, const std::string& what) {
  if (pattern.starts_with('^')) pattern.erase(0, 1);
  if (pattern.find_first_of("\\*+?()[]{}|^$") != std::string::npos) {
    throw bad_input(what + ", alpha_pattern", "paths of modules",
                    "the regular expression " + short_quoted(pattern));
  }
  return pattern;
}

// One configuration of PEFT.
void read_config(const nlohmann::json& json, const std::string& component, const std::string& what,
                 LoraSettings& settings) {
  for (const auto& [key, value] : json.items()) {
    if (value.is_null()) continue;
    if (key == "lora_alpha" || key == "alpha") {
      settings.alphas[component] = number_in(value, what, key);
    } else if (key == "r") {
      settings.ranks[component] = number_in(value, what, key);
    } else if (key == "use_rslora" && value.is_boolean()) {
      settings.divide_by_root[component] = value.get<bool>();
    } else if (key == "use_dora" && value.is_boolean() && value.get<bool>()) {
      settings.dora.insert(component);
    } else if (key == "alpha_pattern" && value.is_object()) {
      for (const auto& [pattern, alpha] : value.items()) {
        settings.alpha_patterns[component].emplace_back(path_of_pattern(pattern, what),
                                                        number_in(alpha, what, key));
      }
    } else if (key == "peft_type" && value.is_string()) {
      const auto kind = value.get<std::string>();
      if (std::find(kKinds.begin(), kKinds.end(), kind) == kKinds.end()) {
        throw bad_input(what, "an adapter of kind LORA, LOHA or LOKR", short_quoted(kind),
                        "this kind of adapter is not supported; merge it into a model elsewhere");
      }
    }
  }
}

// The value of a component, else that of all.
template <typename Map>
auto own_or_common(const Map& map, const std::string& component) {
  const auto own = map.find(component);
  return own != map.end() ? own : map.find("");
}

bool matches(const std::string& pattern, const std::string& module) {
  return module == pattern || module.ends_with("." + pattern);
}

}  // namespace

Metadata lora_metadata(const WeightsFile& file, const std::string& path) {
  Metadata metadata = file.metadata();
  const fs::path p(path);
  const bool folder = fs::is_directory(p);
  if (!folder && !p.filename().string().starts_with("adapter_model.")) return metadata;
  const fs::path config = (folder ? p : p.parent_path()) / kAdapterConfigKey;
  if (fs::is_regular_file(config)) {
    constexpr size_t kMostBytes = 1 << 20;
    metadata[kAdapterConfigKey] = read_text_file(config.string(), kMostBytes);
  }
  return metadata;
}

std::optional<double> LoraSettings::alpha_of(const std::string& component,
                                             const std::string& module) const {
  const auto patterns = own_or_common(alpha_patterns, component);
  if (patterns != alpha_patterns.end()) {
    for (const auto& [pattern, alpha] : patterns->second) {
      if (matches(pattern, module)) return alpha;
    }
  }
  const auto all = own_or_common(alphas, component);
  return all == alphas.end() ? std::nullopt : std::optional(all->second);
}

bool LoraSettings::divides_by_root(const std::string& component) const {
  const auto found = own_or_common(divide_by_root, component);
  return found != divide_by_root.end() && found->second;
}

std::optional<double> LoraSettings::rank_of(const std::string& component) const {
  const auto found = own_or_common(ranks, component);
  return found == ranks.end() ? std::nullopt : std::optional(found->second);
}

LoraSettings lora_settings_of(const Metadata& metadata, const std::string& name) {
  LoraSettings settings;
  if (const auto config = metadata.find(kAdapterConfigKey); config != metadata.end()) {
    const std::string what = name + ", " + kAdapterConfigKey;
    read_config(JsonReader(what, parse_json(config->second, what)).json(), "", what, settings);
  }
  const auto found = metadata.find("lora_adapter_metadata");
  if (found == metadata.end()) return settings;
  const std::string what = name + ", metadata lora_adapter_metadata";
  const nlohmann::json json = JsonReader(what, parse_json(found->second, what)).json();
  std::map<std::string, nlohmann::json> components;
  for (const auto& [key, value] : json.items()) {
    const size_t point = key.find('.');
    if (point == std::string::npos) continue;
    components[key.substr(0, point)][key.substr(point + 1)] = value;
  }
  for (const auto& [component, config] : components) {
    read_config(config, component, what, settings);
  }
  return settings;
}

}  // namespace pangu::io
