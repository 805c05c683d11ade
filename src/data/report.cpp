// Counting what was left out. Says nothing itself: the application prints text().
#include "data/report.h"

namespace pangu::data {
namespace {

void remember(int64_t& count_, Report::Names& first_, const std::string& name,
              const std::string& reason) {
  ++count_;
  if (first_.size() < Report::kNamesKept) first_.emplace_back(name, reason);
}

std::string lines_of(const char* word, int64_t count, const Report::Names& first) {
  std::string lines;
  for (const auto& [name, reason] : first) lines += "\n  " + (word + (" " + name)) + ": " + reason;
  const int64_t more = count - static_cast<int64_t>(first.size());
  if (more > 0) lines += "\n  and " + std::to_string(more) + " more " + word;
  return lines;
}

}  // namespace

void Report::skip(const std::string& name, const std::string& reason) {
  remember(skipped, first_skipped, name, reason);
}

void Report::warn(const std::string& name, const std::string& reason) {
  remember(warned, first_warned, name, reason);
}

void Report::pass_over(const std::string& suffix) {
  const std::string kind = suffix.empty() ? "without suffix" : suffix;
  const bool known = passed_over.count(kind) > 0 || passed_over.size() < kNamesKept;
  ++passed_over[known ? kind : "other"];
}

bool Report::is_clean() const { return skipped == 0 && warned == 0 && passed_over.empty(); }

std::string Report::details() const {
  std::string text =
      lines_of("skipped", skipped, first_skipped) + lines_of("warning", warned, first_warned);
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

}  // namespace pangu::data
