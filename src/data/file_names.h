// Names of files in a dataset: where the suffix begins, and what it says.
#pragma once
#include <string>

namespace pangu::data {

// A name taken apart. The suffix is in lower case and without its dot, "" if there is none.
struct NameParts {
  std::string stem;    // with the folders in front
  std::string suffix;  // of "a/b.c.PNG": "png" behind the last dot, "c.png" behind the first
};
NameParts split_at_last_dot(const std::string& name);
NameParts split_at_first_dot(const std::string& name);

// What is in front of the last '/' with it, "" if there is none.
std::string folder_in(const std::string& name);

// The last part of the name begins with a dot: what operating systems and editors leave in folders.
bool is_hidden(const std::string& name);

// Suffixes of pictures that can be read; of pictures that cannot; of captions.
bool is_picture_suffix(const std::string& suffix);
bool is_other_picture_suffix(const std::string& suffix);
bool is_caption_suffix(const std::string& suffix);

}  // namespace pangu::data
