#include "app/loading.h"

#include <filesystem>
#include <set>
#include <system_error>
#include <vector>

#include "app/cache_folder.h"
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

// A picture of a server names LoRAs without their folder.
pipeline::LoraUse found_lora(pipeline::LoraUse use, const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code unreadable;
  if (folder.empty() || fs::exists(use.path, unreadable)) return use;
  for (const std::string ending : {"", ".safetensors"}) {
    const fs::path path = fs::path(folder) / (fs::path(use.path).filename().string() + ending);
    if (!fs::exists(path, unreadable)) continue;
    use.path = path.string();
    break;
  }
  return use;
}

// LoRAs of the flags, or else those that the picture had beside its prompt; then those of the
// prompt, whose files the picture knows if its own prompt stays.
std::vector<pipeline::LoraUse> loras_of(const LoadArgs& args, const std::string& prompt,
                                        const KeptLoading& kept) {
  std::set<std::string> tagged;
  if (kept.prompt) {
    for (const auto& tag : text::extract_networks(*kept.prompt).networks) tagged.insert(tag.name);
  }
  const auto is_tagged = [&](const pipeline::LoraUse& use) {
    return tagged.count(std::filesystem::path(use.path).stem().string()) > 0;
  };
  std::vector<pipeline::LoraUse> loras;
  for (const std::string& text : args.loras) loras.push_back(pipeline::lora_use_from(text));
  for (const pipeline::LoraUse& use : kept.options.loras) {
    if (args.loras.empty() && !is_tagged(use)) loras.push_back(found_lora(use, args.lora_dir));
  }
  if (kept.prompt == prompt) {
    for (const pipeline::LoraUse& use : kept.options.loras) {
      if (is_tagged(use)) loras.push_back(found_lora(use, args.lora_dir));
    }
  } else {
    for (const auto& use : loras_of_prompt(prompt, args.lora_dir)) loras.push_back(use);
  }
  return loras;
}

// "off" and, where there is no folder for caches, "auto": none.
std::string packed_weights_folder(const std::string& said) {
  if (said.empty()) throw bad_input("--packed-weights", "auto, off or a folder", "nothing");
  if (said == "off") return "";
  if (said != "auto") return said;
  const std::filesystem::path caches = cache_folder();
  return caches.empty() ? "" : (caches / "packed-weights").string();
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

pipeline::LoadOptions load_options(const LoadArgs& args, const std::string& prompt,
                                   const KeptLoading& kept) {
  pipeline::LoadOptions options = kept.options;
  options.device = args.device;
  if (!args.dtype.empty()) options.dtype = args.dtype;
  if (!args.vae_dtype.empty()) options.vae_dtype = args.vae_dtype;
  if (!args.precision.empty()) options.precision = args.precision;
  options.loras = loras_of(args, prompt, kept);
  if (!args.controlnets.empty()) options.controlnets = args.controlnets;
  if (!args.embeddings.empty()) options.embeddings = args.embeddings;
  if (!args.vae.empty()) options.vae = args.vae;
  if (!args.unet.empty()) options.unet = args.unet;
  if (!args.text_encoders.empty()) options.text_encoders = args.text_encoders;
  if (!args.prediction_type.empty()) options.prediction_type = args.prediction_type;
  if (!args.upscaler.empty()) options.upscaler = args.upscaler;
  if (!args.refiner.empty()) options.refiner = args.refiner;
  if (args.refiner_start) {
    if (options.refiner.empty()) throw bad_input("--refiner-start", "--refiner FILE", "none");
    options.refiner_start = *args.refiner_start;
  }
  if (args.experts_in_memory < 0) {
    throw bad_input("--experts-in-memory", "0 (all) or more",
                    std::to_string(args.experts_in_memory));
  }
  options.experts_in_memory = static_cast<size_t>(args.experts_in_memory);
  if (args.vae_tile) options.vae_tile = checked_tile(*args.vae_tile);
  options.packed_weights = packed_weights_folder(args.packed_weights);
  options.tokenizers = (home() / "models" / "tokenizers").string();
  return options;
}

}  // namespace pangu::app
