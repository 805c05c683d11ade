// Where the installation lies: the folder with models/ and tools/. Reads the environment once a
// call.
#pragma once
#include <filesystem>

namespace pangu::app {

// $PANGU_HOME (the launcher sets it), else the nearest folder above the program that has
// models/ and tools/, else the current folder.
std::filesystem::path home();

// The model to use: `said`, or home()/models/mini if it is empty. Error kBadInput if there is no
// model_index.json in it.
std::filesystem::path model_folder(const std::string& said);

}  // namespace pangu::app
