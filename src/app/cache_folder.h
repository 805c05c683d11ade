// Where the program keeps what it can make again.
#pragma once
#include <filesystem>

namespace pangu::app {

// $XDG_CACHE_HOME/pangu-draw, or that below ~/.cache; empty if the environment names neither. It
// need not be there.
std::filesystem::path cache_folder();

}  // namespace pangu::app
