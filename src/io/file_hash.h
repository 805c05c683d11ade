// What tells contents of files apart: SHA-256, read through a mapping, so that a file of any size
// costs no memory; and a mark that costs no time either.
#pragma once
#include <string>
#include <vector>

namespace pangu::io {

// 64 lower-case hexadecimal digits. Error kIo if it cannot be read.
std::string sha256_of_file(const std::string& path);

// Of the bytes of all these files, one after another.
std::string sha256_of_files(const std::vector<std::string>& paths);

// Of a .safetensors behind its header, whose notes may change: what A1111's web UI and Civitai tell
// LoRAs apart by (AutoV3). Of the whole file if it is no .safetensors.
std::string sha256_of_tensors(const std::string& path);

// What a picture keeps of a file that it was made of.
struct ContentMark {
  std::string kind;  // "sha256": of the whole file. "ends": of sizes and both ends of large files
  std::string digits;
  bool operator==(const ContentMark&) const = default;
};
// Of a file up to 64 MB its SHA-256; of a larger one and of the files in a folder, and in those
// below it, the SHA-256 of their names in it, sizes, and first and last 64 kB, which proves nothing
// about files that someone has doctored. Error kIo if it cannot be read.
ContentMark content_mark(const std::string& path);

}  // namespace pangu::io
