// Where the installation lies: the folder with models/ and tools/; and where models are. Reads the
// environment once a call.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace pangu::app {

// $PANGU_HOME (the launcher sets it), else the nearest folder above the program that has
// models/ and tools/, else the current folder.
std::filesystem::path home();

// Folders where models are known by name, in the order in which they are searched: those of
// $PANGU_MODELS (parted by colons), models/ of the current folder, models/ of home(). Some may not
// be there.
std::vector<std::filesystem::path> model_folders();

// What may be opened as a model by name, in all model_folders(): folders with a model_index.json,
// and files of weights without their suffix. Sorted, each once.
std::vector<std::string> model_names();

// The model to use: `said`, or home()/models/mini if it is empty. `said` is a path, a path in
// home()
// ("models/edges"), or a name in one of model_folders() ("edges", also of a .safetensors or .ckpt).
// Error kBadInput if there is no such file or folder hints at the nearest names.
std::filesystem::path model_path(const std::string& said);

}  // namespace pangu::app
