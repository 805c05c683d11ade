// JSON files of foreign programs, whole: core/json_reader.h for what is inside.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/json_reader.h"

namespace pangu::io {

// `what`, if given, stands before the file's path in errors: "unet/config.json", "--recipe". Error
// kBadInput if there is no such file or it is no JSON within the limits, kIo if it cannot be read.
nlohmann::json read_json_file(const std::string& path, const std::string& what = "",
                              JsonLimits limits = {});

// The same for a file that must hold an object, ready to be read key by key.
JsonReader open_json_file(const std::string& path, const std::string& what = "",
                          JsonLimits limits = {});

}  // namespace pangu::io
