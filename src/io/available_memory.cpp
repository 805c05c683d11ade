#include "io/available_memory.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

namespace pangu::io {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kKilobyte = 1024;

// None for a file that is not there, and for "max".
std::optional<uint64_t> number_in(const fs::path& file) {
  std::ifstream in(file);
  uint64_t value = 0;
  return in >> value ? std::optional(value) : std::nullopt;
}

// The number behind a word at the beginning of a line.
std::optional<uint64_t> number_behind(const fs::path& file, const std::string& word) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string first;
    uint64_t value = 0;
    if (words >> first >> value && first == word) return value;
  }
  return std::nullopt;
}

// The files of a control group, of either version.
struct GroupFiles {
  const char *folder, *limit, *usage, *cached;  // cached: a word of memory.stat
};
constexpr GroupFiles kVersion1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                  "memory.usage_in_bytes", "total_inactive_file"};
constexpr GroupFiles kVersion2 = {"/sys/fs/cgroup", "memory.max", "memory.current",
                                  "inactive_file"};

uint64_t left_in(const fs::path& group, const GroupFiles& files) {
  const auto limit = number_in(group / files.limit), usage = number_in(group / files.usage);
  if (!limit || !usage) return kUnlimited;
  const uint64_t cached = number_behind(group / "memory.stat", files.cached).value_or(0);
  const uint64_t taken = *usage - std::min(cached, *usage);
  return *limit - std::min(taken, *limit);
}

// Every group from the named one to the root counts; a container may see the root alone.
uint64_t left_up_from(const std::string& root, std::string group, const GroupFiles& files) {
  uint64_t left = left_in(root + files.folder, files);
  while (group.size() > 1) {
    left = std::min(left, left_in(root + files.folder + group, files));
    group.resize(group.rfind('/'));
  }
  return left;
}

}  // namespace

uint64_t available_memory(const std::string& root) {
  const auto machine = number_behind(root + "/proc/meminfo", "MemAvailable:");
  if (!machine) return 0;
  uint64_t left = *machine * kKilobyte;
  // Lines "HIERARCHY:CONTROLLERS:/PATH"; version 2 has no controllers there.
  std::ifstream in(root + "/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':'), second = line.find(":/", first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (controllers.empty()) left = std::min(left, left_up_from(root, group, kVersion2));
    if (controllers == "memory") left = std::min(left, left_up_from(root, group, kVersion1));
  }
  return left;
}

}  // namespace pangu::io
