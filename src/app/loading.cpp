#include "app/loading.h"

#include <filesystem>
#include <vector>

#include "app/home.h"
#include "core/error.h"
#include "text/prompt.h"

namespace pangu::app {
namespace {

// <lora:NAME:WEIGHT> of a prompt, as web UIs write it: NAME.safetensors in `folder`.
std::vector<pipeline::LoraUse> loras_of_prompt(const std::string& prompt,
                                               const std::string& folder) {
  std::vector<pipeline::LoraUse> uses;
  for (const text::ExtraNetwork& tag : text::extract_networks(prompt).networks) {
    const std::string words = "prompt, <" + tag.kind + ":" + tag.name + ">";
    if (tag.kind != "lora") throw bad_input(words, "<lora:NAME:WEIGHT>", "another kind of network");
    if (folder.empty()) throw bad_input(words, "--lora-dir FOLDER with its file", "no folder");
    const text::NetworkWeights weights = text::network_weights(tag);
    uses.push_back({(std::filesystem::path(folder) / (tag.name + ".safetensors")).string(),
                    weights.unet, weights.text_encoder});
  }
  return uses;
}

// 0: by size; else large enough for a tile's seams.
int checked_tile(int vae_tile) {
  constexpr int least = 64;
  if (vae_tile != 0 && vae_tile < least) {
    throw bad_input("--vae-tile", "0 (by size), or " + std::to_string(least) + " or more",
                    std::to_string(vae_tile));
  }
  return vae_tile;
}

}  // namespace

const std::string& model_of(const LoadArgs& args) {
  return args.model.empty() ? args.unet : args.model;
}

pipeline::LoadOptions load_options(const LoadArgs& args, const std::string& prompt) {
  pipeline::LoadOptions options;
  options.device = args.device;
  if (!args.dtype.empty()) options.dtype = args.dtype;
  for (const std::string& text : args.loras) options.loras.push_back(pipeline::lora_use_from(text));
  for (const auto& use : loras_of_prompt(prompt, args.lora_dir)) options.loras.push_back(use);
  options.controlnets = args.controlnets;
  options.embeddings = args.embeddings;
  options.vae = args.vae;
  if (!args.vae_dtype.empty()) options.vae_dtype = args.vae_dtype;
  if (!args.model.empty()) options.unet = args.unet;
  options.text_encoders = args.text_encoders;
  options.prediction_type = args.prediction_type;
  options.upscaler = args.upscaler;
  options.refiner = args.refiner;
  options.refiner_start = args.refiner_start;
  if (args.experts_in_memory < 0) {
    throw bad_input("--experts-in-memory", "0 (all) or more",
                    std::to_string(args.experts_in_memory));
  }
  options.experts_in_memory = static_cast<size_t>(args.experts_in_memory);
  options.vae_tile = checked_tile(args.vae_tile);
  options.tokenizers = (home() / "models" / "tokenizers").string();
  return options;
}

}  // namespace pangu::app
