#include "app/train/training_state.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <vector>

#include "core/error.h"
#include "io/pieces.h"
#include "io/safetensors.h"
#include "train/fingerprint.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCheckpoint = "checkpoint.safetensors";

// The checkpoint comes last: it is the one whose arrival makes the others true.
std::vector<std::string> state_files(const std::string& run) {
  std::vector<std::string> names;
  for (const char* name :
       {"vae/config.json", "vae/diffusion_pytorch_model.safetensors", "model/model_index.json",
        "model/unet/config.json", "model/unet/diffusion_pytorch_model.safetensors",
        "model/unet_texture/config.json", "model/unet_texture/diffusion_pytorch_model.safetensors",
        "model/image_encoder/config.json", "model/image_encoder/model.safetensors",
        "loss_by_t.json", "metrics.jsonl", "metrics.html", kCheckpoint}) {
    if (fs::exists(fs::path(run) / name)) names.push_back(name);
  }
  return names;
}

std::string text_of(const std::map<std::string, std::string>& texts, const char* key) {
  const auto found = texts.find(key);
  return found == texts.end() ? "" : found->second;
}

long long step_of(const std::map<std::string, std::string>& texts) {
  return std::strtoll(text_of(texts, "step").c_str(), nullptr, 10);
}

void say(const char* what, const io::PiecesInfo& info, const std::string& where) {
  char size[32];
  std::snprintf(size, sizeof size, "%.1f", double(info.size_bytes()) / 1e6);
  std::cout << what << " step " << step_of(info.about) << ": " << info.files.size() << " files, "
            << size << " MB in " << info.pieces.size() << " pieces, " << where << "\n";
}

}  // namespace

void export_state(const train::TrainConfig& config, const std::string& folder, size_t piece_bytes) {
  const std::string path = config.output_dir + "/" + kCheckpoint;
  if (!fs::exists(path)) {
    throw bad_input("state of '" + config.output_dir + "'", std::string("a ") + kCheckpoint, "none",
                    "train first");
  }
  const io::Metadata about = io::SafetensorsFile::open(path).metadata();
  say("exported",
      io::write_pieces(config.output_dir, state_files(config.output_dir), folder, piece_bytes,
                       {{"step", text_of(about, "step")},
                        {"train_seconds", text_of(about, "train_seconds")},
                        {"fingerprint", text_of(about, "fingerprint")}}),
      "to '" + folder + "'");
}

void import_state(const train::TrainConfig& config, const std::string& folder, bool replace) {
  const std::string path = config.output_dir + "/" + kCheckpoint;
  if (!replace && fs::exists(path)) {
    const io::Metadata here = io::SafetensorsFile::open(path).metadata();
    const auto there = io::read_pieces_info(folder).about;
    const std::string difference =
        train::difference_of(text_of(here, "fingerprint"), text_of(there, "fingerprint"));
    if (!difference.empty()) {
      throw bad_input("state in '" + folder + "'",
                      "the settings of the run in '" + config.output_dir + "'", difference,
                      "--fresh replaces that run");
    }
    if (step_of(here) > step_of(there)) {
      throw bad_input("state in '" + folder + "'",
                      "at least the " + std::to_string(step_of(here)) + " steps of the run in '" +
                          config.output_dir + "'",
                      std::to_string(step_of(there)), "--fresh replaces that run");
    }
  }
  say("imported", io::read_pieces(folder, config.output_dir), "to '" + config.output_dir + "'");
}

}  // namespace pangu::app
