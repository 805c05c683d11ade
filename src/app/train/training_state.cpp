#include "app/train/training_state.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <vector>

#include "core/error.h"
#include "io/pieces.h"
#include "io/sharded_safetensors.h"
#include "train/checkpoint.h"
#include "train/fingerprint.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

// The checkpoint comes last: it is the one whose arrival makes the others true.
std::vector<std::string> state_files(const std::string& run, const fs::path& checkpoint) {
  std::vector<std::string> names;
  for (const char* name :
       {"vae/config.json", "vae/diffusion_pytorch_model.safetensors", "model/model_index.json",
        "model/unet/config.json", "model/unet/diffusion_pytorch_model.safetensors",
        "model/unet_texture/config.json", "model/unet_texture/diffusion_pytorch_model.safetensors",
        "model/image_encoder/config.json", "model/image_encoder/model.safetensors",
        "loss_by_t.json", "metrics.jsonl", "metrics.html"}) {
    if (fs::exists(fs::path(run) / name)) names.push_back(name);
  }
  const fs::path real = fs::canonical(checkpoint);  // a link leads to the folder of its step
  if (!fs::is_directory(real)) {
    names.push_back(real.filename().string());
    return names;
  }
  const io::ShardedSafetensors files(real.string());
  for (const std::string& file : files.paths()) {
    names.push_back((real.filename() / fs::path(file).filename()).string());
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
  const auto path = train::checkpoint_in(config.output_dir);
  if (!path) {
    throw bad_input("state of '" + config.output_dir + "'", "a checkpoint", "none", "train first");
  }
  train::link_copied_checkpoint(config.output_dir);
  const train::CheckpointNote note = train::checkpoint_note(*path).value();
  say("exported",
      io::write_pieces(config.output_dir, state_files(config.output_dir, *path), folder,
                       piece_bytes,
                       {{"step", std::to_string(note.step)},
                        {"train_seconds", std::to_string(note.train_seconds)},
                        {"fingerprint", note.fingerprint}}),
      "to '" + folder + "'");
}

void import_state(const train::TrainConfig& config, const std::string& folder, bool replace) {
  const auto path = replace ? std::nullopt : train::checkpoint_in(config.output_dir);
  if (path) {
    const train::CheckpointNote here = train::checkpoint_note(*path).value();
    const auto there = io::read_pieces_info(folder).about;
    const std::string difference =
        train::difference_of(here.fingerprint, text_of(there, "fingerprint"));
    if (!difference.empty()) {
      throw bad_input("state in '" + folder + "'",
                      "the settings of the run in '" + config.output_dir + "'", difference,
                      "--fresh replaces that run");
    }
    if (here.step > step_of(there)) {
      throw bad_input("state in '" + folder + "'",
                      "at least the " + std::to_string(here.step) + " steps of the run in '" +
                          config.output_dir + "'",
                      std::to_string(step_of(there)), "--fresh replaces that run");
    }
  }
  const io::PiecesInfo info = io::read_pieces(folder, config.output_dir);
  train::adopt_checkpoint(config.output_dir, info.files.back().name);
  say("imported", info, "to '" + config.output_dir + "'");
}

}  // namespace pangu::app
