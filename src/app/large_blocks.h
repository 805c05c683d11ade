// Memory of large tensors is kept when it is freed and given out again. The system's allocators
// return blocks of 16 MiB and more to the system at once, and every page of the next one is then
// cleared and faulted in again: a sixth of the time in which an autoencoder decodes.
#pragma once
#include <cstddef>

namespace pangu::app {

inline constexpr size_t kLargeBlock = size_t{4} << 20;  // bytes; smaller ones are libtorch's affair

// Makes libtorch allocate tensors on the CPU in this way from now on. Of freed blocks at most
// `most_kept` bytes are kept, the latest ones. Called once, by the program, before it computes.
void keep_large_blocks(size_t most_kept);

}  // namespace pangu::app
