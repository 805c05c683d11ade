// What became of the files of a dataset: counts, and the first names of what was left out and why.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pangu::data {

// A plain value; whoever shares one between threads guards it.
struct Report {
  static constexpr size_t kNamesKept = 20;
  using Names = std::vector<std::pair<std::string, std::string>>;  // name, reason

  int64_t kept = 0;     // pictures, after the last pass over them
  int64_t skipped = 0;  // pictures, links, folders and archives that are left out
  Names first_skipped;
  int64_t warned = 0;  // times that a part of a file was left out, and the picture kept
  Names first_warned;
  std::map<std::string, int64_t> passed_over;  // files that are no part of a dataset, by suffix

  void skip(const std::string& name, const std::string& reason);
  void warn(const std::string& name, const std::string& reason);
  // `suffix` without its dot, "" of a file without one. Beyond kNamesKept kinds they count as
  // "other".
  void pass_over(const std::string& suffix);

  // Nothing was skipped, warned of or passed over.
  bool is_clean() const;

  // A line for each name that is remembered and one of what was passed over, each with a line break
  // in front.
  std::string details() const;
  // "2916 kept, 2 skipped", the number of warnings if there are any, and details().
  std::string text() const;
};

}  // namespace pangu::data
