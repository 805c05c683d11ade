#include "nn/autoencoder/pixel_space.h"

#include <ATen/ATen.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "core/json_reader.h"

namespace pangu::nn {
namespace {

constexpr int64_t kMostPatch = 64;

}  // namespace

bool PixelSpace::is_config(const nlohmann::json& json) {
  const auto name = json.is_object() ? json.find("_class_name") : json.end();
  return json.is_object() && name != json.end() && *name == "PixelSpace";
}

PixelSpace PixelSpace::from_json(const nlohmann::json& json) {
  PixelSpace space;
  JsonReader reader("vae/config.json", json);
  reader.read("patch_size", space.patch_size);
  reader.read("scaling_factor", space.scaling_factor);
  reader.read("shift_factor", space.shift_factor);
  reader.refuse_unread();
  if (space.patch_size < 1 || space.patch_size > kMostPatch) {
    throw reader.error("patch_size", "1 to 64", std::to_string(space.patch_size));
  }
  if (!(space.scaling_factor > 0.0) || !std::isfinite(space.scaling_factor)) {
    throw reader.error("scaling_factor", "a number above 0", std::to_string(space.scaling_factor));
  }
  if (!std::isfinite(space.shift_factor)) {
    throw reader.error("shift_factor", "a finite number", std::to_string(space.shift_factor));
  }
  return space;
}

nlohmann::json PixelSpace::to_json() const {
  return {{"_class_name", "PixelSpace"},
          {"patch_size", patch_size},
          {"scaling_factor", scaling_factor},
          {"shift_factor", shift_factor}};
}

at::Tensor PixelSpace::encode(const at::Tensor& pixels) const {
  return (at::pixel_unshuffle(pixels, patch_size) - shift_factor) * scaling_factor;
}

at::Tensor PixelSpace::decode(const at::Tensor& latents) const {
  return at::pixel_shuffle(latents / scaling_factor + shift_factor, patch_size);
}

at::Tensor control_channels(const at::Tensor& hint, int64_t downscale) {
  return at::pixel_unshuffle(hint.mean(1, /*keepdim=*/true), downscale);
}

}  // namespace pangu::nn
