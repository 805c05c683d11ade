#include "pipeline/coop/learned_bridges.h"

#include <torch/types.h>

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "io/json_file.h"
#include "nn/autoencoder/latent_converter.h"
#include "tensors/safetensors.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr char kConfig[] = "config.json", kWeights[] = "diffusion_pytorch_model.safetensors";

// Returns the folder's configuration, or null if there is none that can be read.
nlohmann::json config_in(const fs::path& folder) {
  try {
    return io::open_json_file((folder / kConfig).string()).json();
  } catch (const Error&) {
    return nullptr;
  }
}

bool is_learned_bridge(const fs::path& folder) {
  const nlohmann::json json = config_in(folder);
  const auto found = json.find("_class_name");
  return json.is_object() && found != json.end() && *found == "LatentConverter";
}

// Returns training.WHICH.psnr_db of a configuration, if it is there and a number.
std::optional<double> psnr_in(const nlohmann::json& config, const std::string& which) {
  const nlohmann::json::json_pointer at =
      nlohmann::json::json_pointer("/training") / which / "psnr_db";
  if (!config.contains(at) || !config.at(at).is_number()) return std::nullopt;
  return config.at(at).get<double>();
}

// Which of the converters that training tried is in the file: "linear", "trained" or "refitted".
std::string kept_in(const nlohmann::json& config) {
  const nlohmann::json::json_pointer at("/training/kept");
  if (!config.contains(at) || !config.at(at).is_string()) return "trained";
  return config.at(at).get<std::string>();
}

}  // namespace

LearnedBridge open_learned_bridge(const std::string& folder, const Placement& place) {
  const std::string what = "learned bridge '" + folder + "'";
  const nlohmann::json json = config_in(folder);
  if (json.is_null()) {
    throw bad_input(what, "a folder with config.json", fs::exists(folder) ? "none" : "no folder",
                    "`pangu-draw train-bridge` makes one");
  }
  if (!is_learned_bridge(folder)) {
    const auto found = json.find("_class_name");
    throw bad_input(what + ", _class_name", "LatentConverter",
                    found == json.end() ? "none" : found->dump());
  }
  const std::string weights = (fs::path(folder) / kWeights).string();
  if (!fs::exists(weights)) throw bad_input(what, kWeights, "none");
  nn::LatentConverterConfig config;
  try {
    config = nn::LatentConverterConfig::from_json(json);
  } catch (const Error& problem) {
    throw while_doing("reading " + what, problem);
  }
  const auto network = std::make_shared<Lazy<nn::LatentConverter>>([=](const Watch& watch) {
    std::shared_ptr<nn::LatentConverter> made;
    {
      const nn::SkipInitialisation skip;
      made = std::make_shared<nn::LatentConverter>(config);
    }
    Component component;
    component.origin = weights;
    load_component(*made, component, place, tensors::load_safetensors(weights), watch);
    return made;
  });
  LearnedBridge bridge;
  bridge.from = LatentSpace::parse(config.from_space);
  bridge.to = LatentSpace::parse(config.to_space);
  bridge.path = folder;
  bridge.grid_scale = config.grid_scale;
  bridge.psnr_db = psnr_in(json, kept_in(json));
  bridge.exact_psnr_db = psnr_in(json, "exact");
  bridge.convert = [network](const at::Tensor& x0, int64_t height, int64_t width) {
    return network->get({}).forward(x0, height, width).cpu();
  };
  return bridge;
}

std::vector<std::string> learned_bridges_in(const std::string& folder) {
  if (is_learned_bridge(folder)) return {folder};
  std::vector<std::string> found;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    if (entry.is_directory(failed) && is_learned_bridge(entry.path())) {
      found.push_back(entry.path().string());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace pangu::pipeline
