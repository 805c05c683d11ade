#include "pipeline/families/int8_weights.h"

#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/safetensors.h"
#include "tensors/safetensors.h"

namespace pangu::pipeline {
namespace {

constexpr const char* kInt8Suffix = ".int8";
constexpr const char* kInt8Format = "pangu-int8-1";
constexpr const char* kInt8Of = "of";  // fingerprint of the denoiser

// Whether the file's weights are those of the component.
bool is_of(const io::Metadata& metadata, const Component& component) {
  const auto format = metadata.find("format"), of = metadata.find(kInt8Of);
  return format != metadata.end() && format->second == kInt8Format && of != metadata.end() &&
         of->second == fingerprint_of(component);
}

}  // namespace

std::string int8_file_of(const Component& component) {
  if (!component.files || component.files->empty()) return "";
  const std::vector<std::string>& paths = component.files->front().paths();
  return paths.empty() ? "" : paths.front() + kInt8Suffix;
}

nn::Int8Plan int8_plan_of(const Component& component, const torch::nn::Module& network,
                          bool changed, const Watch& watch) {
  const std::string path = int8_file_of(component);
  if (path.empty() || !std::filesystem::exists(path)) return nn::default_int8_plan(network);
  if (!is_of(io::SafetensorsFile::open(path).metadata(), component)) {
    watch.warn("int8 weights '" + path + "' are of other weights than '" + component.origin +
               "' and are not used; `pangu-draw quantize` makes them anew");
    return nn::default_int8_plan(network);
  }
  nn::Int8Plan plan;
  try {
    plan = nn::plan_from_tensors(tensors::load_safetensors(path, /*copy=*/false), network);
  } catch (const Error& problem) {
    throw while_doing("reading '" + path + "'", problem);
  }
  for (auto& [name, layer] : plan) {
    if (changed) layer = {};
  }
  return plan;
}

Int8Written write_int8(const Component& component, const nn::Int8Errors& errors, double most_error,
                       const Watch& watch) {
  Int8Written written;
  written.path = int8_file_of(component);
  const nn::TensorMap weights = tensors_of(component);
  nn::Int8Plan plan;
  nlohmann::json measured = nlohmann::json::object();
  std::vector<double> taken;
  for (const auto& [name, error] : errors) {
    watch.check();
    const double relative = error->relative();
    measured[name] = relative;
    // Not-a-number is kept in bf16 too.
    if (!(relative <= most_error)) {
      written.kept.push_back(name);
      continue;
    }
    taken.push_back(relative);
    plan[name] = nn::int8_layer_of(weights.at(name + ".weight"));
  }
  std::sort(written.kept.begin(), written.kept.end(), [&](const auto& a, const auto& b) {
    return errors.at(a)->relative() > errors.at(b)->relative();
  });
  std::sort(taken.begin(), taken.end());
  if (!taken.empty()) written.middle_error = taken[taken.size() / 2];
  written.layers = static_cast<int64_t>(plan.size());
  tensors::save_safetensors(written.path, nn::plan_tensors(plan),
                            {{"format", kInt8Format},
                             {kInt8Of, fingerprint_of(component)},
                             {"relative_errors", measured.dump()}});
  written.size_bytes = static_cast<int64_t>(std::filesystem::file_size(written.path));
  return written;
}

}  // namespace pangu::pipeline
