#include "pipeline/network_folder.h"

#include <ATen/ATen.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/atomic_file.h"
#include "tensors/safetensors.h"

namespace pangu::pipeline {

at::ScalarType save_type_from(const std::string& name) {
  if (name == "bf16") return at::kBFloat16;
  if (name == "fp16") return at::kHalf;
  if (name == "float") return at::kFloat;
  throw bad_input("save_precision", "'bf16', 'fp16' or 'float'", "'" + name + "'");
}

void write_network_folder(const std::string& folder, const nlohmann::json& config,
                          const std::map<std::string, at::Tensor>& weights, at::ScalarType type,
                          const std::string& file) {
  const std::filesystem::path out = folder;
  std::error_code failed;
  std::filesystem::create_directories(out, failed);
  if (failed) throw io_error("cannot make", folder, failed.value());
  io::write_file_atomic((out / "config.json").string(), config.dump(2) + "\n");
  std::map<std::string, at::Tensor> saved;
  for (const auto& [name, tensor] : weights) saved[name] = tensor.cpu().to(type).contiguous();
  tensors::save_safetensors((out / file).string(), saved, {{"format", "pt"}});
}

}  // namespace pangu::pipeline
