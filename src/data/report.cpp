// Counting what was skipped. Says nothing itself: the application prints text().
#include "data/report.h"

namespace pangu::data {

void Report::skip(const std::string& name, const std::string& reason) {
  ++skipped;
  if (first_skipped.size() < kNamesKept) first_skipped.emplace_back(name, reason);
}

std::string Report::text() const {
  std::string text = std::to_string(kept) + " kept, " + std::to_string(skipped) + " skipped";
  for (const auto& [name, reason] : first_skipped) text += "\n  skipped " + name + ": " + reason;
  if (skipped > static_cast<int64_t>(first_skipped.size())) {
    text +=
        "\n  and " + std::to_string(skipped - static_cast<int64_t>(first_skipped.size())) + " more";
  }
  return text;
}

}  // namespace pangu::data
