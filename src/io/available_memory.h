// How much memory may still be taken, by the machine and by the control groups of a container.
#pragma once
#include <cstdint>
#include <string>

namespace pangu::io {

// Bytes that can be had without swapping: the kernel's estimate (MemAvailable), or what a control
// group of this process (version 2, or version 1 as containers see it) leaves of its limit, its
// cached files not counted, whichever is less. 0 where the kernel says nothing. root: in front of
// /proc and /sys, for tests.
uint64_t available_memory(const std::string& root = "");

}  // namespace pangu::io
