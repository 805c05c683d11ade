// What became of the files of a dataset: counts, and what was left out by its reasons, each with
// the first names that it holds for.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"

namespace pangu::data {

// A plain value; whoever shares one between threads guards it.
struct Report {
  static constexpr size_t kReasonsKept = 20;
  static constexpr size_t kNamesKept = 5;  // of each reason
  struct Reason {
    std::string text;
    int64_t count = 0;
    std::vector<std::string> first_names;
  };

  int64_t kept = 0;     // pictures, after the last pass over them
  int64_t skipped = 0;  // pictures, links, folders and archives that are left out
  std::vector<Reason> skipped_because;
  int64_t warned = 0;  // times that a part of a file was left out, and the picture kept
  std::vector<Reason> warned_because;
  std::map<std::string, int64_t> passed_over;  // files that are no part of a dataset, by suffix

  void skip(const std::string& name, const std::string& reason);
  void warn(const std::string& name, const std::string& reason);
  // `suffix` without its dot, "" of a file without one. Beyond kReasonsKept kinds they count as
  // "other".
  void pass_over(const std::string& suffix);

  // Nothing was skipped, warned of or passed over.
  bool is_clean() const;

  // A line for each reason that is remembered and one of what was passed over, each with a line
  // break in front.
  std::string details() const;
  // "2916 kept, 2 skipped", the number of warnings if there are any, and details().
  std::string text() const;
};

// The error with the report's details below it, for a dataset of which too little is left.
Error with_details(const Error& error, const Report& report);

}  // namespace pangu::data
