// What a picture says of how it was drawn, as the body of a job on this server: models and networks
// by the names that are known here, pictures by their ids. What is not here is left out and told.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "app/serve/network_names.h"

namespace pangu::app {

// {"origin", "request" with "model" and "load" or "recipe", "unmatched", "warnings"} of the PNG,
// JPEG or WebP in a file. Error kBadInput if it says nothing.
nlohmann::json picture_settings(const std::string& path, const NetworkNames& names);

}  // namespace pangu::app
