// What a model is loaded with: device, number type, adapters, further networks. A value: it
// compares and hashes, so that a cache can ask whether two models are one.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pangu::pipeline {

struct Int8Measured;  // pipeline/families/int8_weights.h

// LoadOptions::precision
inline constexpr const char* kExactPrecision = "exact";
inline constexpr const char* kInt8Precision = "int8";

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
  // Of the denoisers' products: "exact", as `dtype` says, or "int8" for those that bear it, by the
  // file that `pangu-draw quantize` writes or, without one, by the usual choice of layers.
  std::string precision = kExactPrecision;
  // Not null: layers compute in int8 beside `dtype`, and their errors come in here.
  std::shared_ptr<Int8Measured> int8_measured = {};
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
  // Folder where denoisers' weights are kept in the order that kernels read them
  // (families/packed_files.h); empty: they are put into it at every loading.
  std::string packed_weights;
  bool operator==(const LoadOptions&) const = default;
};

// What draws fastest: "bf16" on CUDA and on processors with kernels for it (kernels/level.h), else
// "f32".
std::string fastest_dtype(const std::string& device);

}  // namespace pangu::pipeline

// Equal options have equal hashes.
template <>
struct std::hash<pangu::pipeline::LoadOptions> {
  size_t operator()(const pangu::pipeline::LoadOptions& options) const;
};
