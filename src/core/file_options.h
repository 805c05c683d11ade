// "FILE,key=value,key=value" of a flag or a recipe, where FILE may hold commas itself.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace pangu {

struct FileOptions {
  std::string file;
  std::vector<std::pair<std::string, std::string>> options;  // in their order
};

// The file is the longest beginning of the text that is there and ends with the text or in front of
// a ",key=", key of small letters and "_"; if none is there, it ends in front of the first. Keys
// are the caller's to judge.
FileOptions file_options_from(const std::string& text);

// Whether the file's name holds a comma and there is no such file: then what stands behind the
// comma was probably meant as an option.
bool has_lost_comma(const FileOptions& options);

}  // namespace pangu
