// SHA-256 of files, read through a mapping: a file of any size costs no memory.
#pragma once
#include <string>
#include <vector>

namespace pangu::io {

// 64 lower-case hexadecimal digits. Error kIo if it cannot be read.
std::string sha256_of_file(const std::string& path);

// Of the bytes of all these files, one after another.
std::string sha256_of_files(const std::vector<std::string>& paths);

}  // namespace pangu::io
