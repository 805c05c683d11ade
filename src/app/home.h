// Where the installation lies: the folder with models/ and tools/. Reads the environment once a
// call.
#pragma once
#include <filesystem>

namespace pangu::app {

// $PANGU_HOME (the launcher sets it), else the nearest folder above the program that has
// models/ and tools/, else the current folder.
std::filesystem::path home();

// The model to use: `said`, or home()/models/mini if it is empty. A relative path that is not there
// is looked for in home() ("models/edges"). Error kBadInput if there is no such file or folder.
std::filesystem::path model_path(const std::string& said);

}  // namespace pangu::app
