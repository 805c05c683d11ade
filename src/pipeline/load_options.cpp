#include "pipeline/load_options.h"

#include <filesystem>

#include "core/number.h"
#include "nn/packed_weight.h"

namespace pangu::pipeline {

LoraUse lora_use_from(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || std::filesystem::exists(text)) return {text, 1.0, std::nullopt};
  return {text.substr(0, colon), number_of("LoRA, weight", text.substr(colon + 1)), std::nullopt};
}

std::string fastest_dtype(const std::string& device) {
  return device != "cpu" || nn::has_packed_products() ? "bf16" : "f32";
}

}  // namespace pangu::pipeline

size_t std::hash<pangu::pipeline::LoadOptions>::operator()(
    const pangu::pipeline::LoadOptions& options) const {
  size_t sum = 0;
  // The mixing step of boost::hash_combine; order matters.
  const auto add = [&](const auto& value) {
    const std::hash<std::remove_cvref_t<decltype(value)>> hash;
    sum ^= hash(value) + 0x9e3779b97f4a7c15ULL + (sum << 6) + (sum >> 2);
  };
  add(options.device);
  add(options.dtype);
  add(options.vae_dtype);
  add(options.precision);
  add(options.int8_measured);
  for (const auto& use : options.loras) {
    add(use.path);
    add(use.weight);
    add(use.text_weight);
  }
  for (const auto& net : options.controlnets) add(net);
  for (const auto& file : options.embeddings) add(file);
  add(options.vae);
  add(options.unet);
  for (const auto& file : options.text_encoders) add(file);
  add(options.prediction_type);
  add(options.upscaler);
  add(options.refiner);
  add(options.refiner_start);
  add(options.experts_in_memory);
  add(options.vae_tile);
  add(options.tokenizers);
  add(options.packed_weights);
  return sum;
}
