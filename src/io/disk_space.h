// Whether a folder that is to be written has room, asked before long work and not at its end.
#pragma once
#include <cstdint>
#include <string>

namespace pangu::io {

// Bytes that are free for this user where `folder` is, or would be made. Error kIo if that cannot
// be told, or if nothing may be written there.
uint64_t free_bytes_for(const std::string& folder);

// Error kIo, saying what is needed and what there is, if fewer bytes are free.
void require_space(const std::string& folder, uint64_t bytes);

}  // namespace pangu::io
