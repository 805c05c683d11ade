// What a model is loaded with: device, number type, adapters, further networks. A value: it
// compares and hashes, so that a cache can ask whether two models are one.
#pragma once
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pangu::pipeline {

// A LoRA file and its weight; that of text encoders may be another.
struct LoraUse {
  std::string path;
  double weight = 1.0;
  std::optional<double> text_weight = {};
  bool operator==(const LoraUse&) const = default;
};

// "FILE[:WEIGHT]"; a colon may also be part of the file's name.
LoraUse lora_use_from(const std::string& text);

struct LoadOptions {
  std::string device = "cpu";        // "cpu", "cuda" or "cuda:1"
  std::optional<std::string> dtype;  // "f32" or "bf16"; empty: fastest_dtype(device)
  // Of the autoencoder. Empty: that of the other networks where it costs little, otherwise f32
  // (vae_placement_of).
  std::optional<std::string> vae_dtype;
  std::vector<LoraUse> loras;
  std::vector<std::string> controlnets;  // files or folders
  std::vector<std::string> embeddings;   // textual inversions; the file's name is the word
  // Parts from other files or folders, in place of the model's own: a file of the part alone, or
  // a whole checkpoint or model folder that holds one.
  std::string vae;                         // a tiny autoencoder (TAESD) too
  std::string unet;                        // the denoiser
  std::vector<std::string> text_encoders;  // SDXL reads two
  // What the network predicts ("epsilon", "v_prediction", ...), over what the files say; empty:
  // what they say.
  std::string prediction_type;
  std::string upscaler;          // an ESRGAN for Request::upscale and hires_scale
  std::string refiner;           // SDXL's second expert ...
  double refiner_start = 0.8;    // ... from this share of the noise schedule on
  size_t experts_in_memory = 0;  // at most so many at once; 0: all
  int vae_tile = 0;              // pixels a side that are decoded at once; 0: by size
  std::string tokenizers;        // folder with the vocabularies that single files lack
  bool operator==(const LoadOptions&) const = default;
};

// "bf16" on CUDA and on processors that multiply bf16 (AVX512-BF16), else "f32".
std::string fastest_dtype(const std::string& device);

}  // namespace pangu::pipeline

// Equal options have equal hashes.
template <>
struct std::hash<pangu::pipeline::LoadOptions> {
  size_t operator()(const pangu::pipeline::LoadOptions& options) const;
};
