// Counting what was left out. Says nothing itself: the application prints text().
#include "data/report.h"

#include <algorithm>

namespace pangu::data {
namespace {

void remember(std::vector<Report::Reason>& reasons_, const std::string& name,
              const std::string& reason) {
  auto found = std::find_if(reasons_.begin(), reasons_.end(),
                            [&](const Report::Reason& known) { return known.text == reason; });
  if (found == reasons_.end()) {
    if (reasons_.size() == Report::kReasonsKept) return;
    found = reasons_.insert(reasons_.end(), {reason, 0, {}});
  }
  ++found->count;
  if (found->first_names.size() < Report::kNamesKept) found->first_names.push_back(name);
}

// "  skipped a.jpg: REASON" of one, "  skipped 27: REASON: a.jpg, b.jpg and 25 more" of several.
std::string lines_of(const char* word, int64_t count, const std::vector<Report::Reason>& reasons) {
  std::string lines;
  for (const auto& [text, times, first_names] : reasons) {
    lines += std::string("\n  ") + word + " ";
    count -= times;
    if (times == 1) {
      lines += first_names.front() + ": " + text;
      continue;
    }
    lines += std::to_string(times) + ": " + text + ": ";
    for (size_t i = 0; i < first_names.size(); ++i) lines += (i ? ", " : "") + first_names[i];
    const int64_t more = times - static_cast<int64_t>(first_names.size());
    if (more > 0) lines += " and " + std::to_string(more) + " more";
  }
  if (count > 0) {
    lines += std::string("\n  ") + word + " " + std::to_string(count) + " for other reasons";
  }
  return lines;
}

}  // namespace

void Report::skip(const std::string& name, const std::string& reason) {
  ++skipped;
  remember(skipped_because, name, reason);
}

void Report::warn(const std::string& name, const std::string& reason) {
  ++warned;
  remember(warned_because, name, reason);
}

void Report::pass_over(const std::string& suffix) {
  const std::string kind = suffix.empty() ? "without suffix" : suffix;
  const bool known = passed_over.count(kind) > 0 || passed_over.size() < kReasonsKept;
  ++passed_over[known ? kind : "other"];
}

bool Report::is_clean() const { return skipped == 0 && warned == 0 && passed_over.empty(); }

std::string Report::details() const {
  std::string text =
      lines_of("skipped", skipped, skipped_because) + lines_of("warning", warned, warned_because);
  std::string others;
  for (const auto& [kind, count] : passed_over) {
    others += (others.empty() ? "" : ", ") + std::to_string(count) + " " + kind;
  }
  if (!others.empty()) text += "\n  passed over, by suffix: " + others;
  return text;
}

std::string Report::text() const {
  std::string text = std::to_string(kept) + " kept, " + std::to_string(skipped) + " skipped";
  if (warned > 0) text += ", " + std::to_string(warned) + (warned > 1 ? " warnings" : " warning");
  return text + details();
}

Error with_details(const Error& error, const Report& report) {
  return Error(error.code(), error.what() + report.details());
}

}  // namespace pangu::data
