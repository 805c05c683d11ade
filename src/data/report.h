// What became of the files of a dataset: counts, and the first names of what was left out and why.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pangu::data {

// A plain value; whoever shares one between threads guards it.
struct Report {
  static constexpr size_t kNamesKept = 20;

  int64_t kept = 0;
  int64_t skipped = 0;
  std::vector<std::pair<std::string, std::string>> first_skipped;  // name, reason

  void skip(const std::string& name, const std::string& reason);

  // "2916 kept, 2 skipped" and one line for each name that was remembered.
  std::string text() const;
};

}  // namespace pangu::data
