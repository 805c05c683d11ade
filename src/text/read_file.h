// A small file as one string, for the tokenizers: as it is, or the first lines of a gzip file.
// Not a general reader: no streaming, no checksum (a beginning has none).
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace pangu::text {

// Tokenizer files are a few megabytes.
inline constexpr size_t kMaxTokenizerBytes = size_t{256} << 20;

// Error kIo if it cannot be read, kBadInput above `cap_bytes`. `what` names it in messages.
std::string read_file(const std::string& path, const std::string& what,
                      size_t cap_bytes = kMaxTokenizerBytes);
bool file_exists(const std::string& path);

// The first `lines` lines (or fewer) of what a gzip file holds (RFC 1952), and perhaps more: at
// most `cap_bytes`. Error kBadInput if it is no gzip file, damaged, or ends too early.
std::string gunzip_lines(std::string_view gzip, size_t lines, size_t cap_bytes,
                         const std::string& name);

}  // namespace pangu::text
