// Memory of large tensors is kept when it is freed and given out again. The system's allocators
// return blocks of 16 MiB and more to the system at once, and every page of the next one is then
// cleared and faulted in again: a sixth of the time in which an autoencoder decodes.
#pragma once
#include <cstddef>

namespace pangu::tensors {

inline constexpr size_t kLargeBlock = size_t{4} << 20;  // bytes; smaller ones are libtorch's affair

inline constexpr size_t kMostKept = size_t{512} << 20;  // bytes of freed blocks

// Makes libtorch allocate tensors on the CPU in this way from now on. Of freed blocks at most
// `most_kept` bytes are kept, the latest ones. Called once, by a program, before it computes.
void keep_large_blocks(size_t most_kept = kMostKept);

// Gives the freed blocks that are kept back to the system. Does nothing where none are kept.
void let_go_of_kept_blocks();

}  // namespace pangu::tensors
