#include "core/nearest.h"

#include <algorithm>
#include <utility>

namespace pangu {
namespace {

constexpr size_t kLongestWord = 100;  // a longer one is no slip of the keyboard
constexpr size_t kLeastPart = 3;      // bytes of a word that count as a part of another

std::string lower_case(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

// "--image" is part of "--init-image" too.
bool is_part(const std::string& part, const std::string& whole) {
  const std::string bare = part.substr(std::min(part.size(), part.find_first_not_of('-')));
  return bare.size() >= kLeastPart && whole.find(bare) != std::string::npos;
}

}  // namespace

size_t edit_distance(std::string_view a, std::string_view b) {
  // Rows of the table for the first i - 2, i - 1 and i bytes of `a`.
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, last);
    std::swap(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

std::vector<std::string> nearest_words(const std::string& word,
                                       const std::vector<std::string>& known, size_t most) {
  if (word.empty() || word.size() > kLongestWord) return {};
  const std::string said = lower_case(word);
  std::vector<std::pair<size_t, size_t>> near;  // distance, number
  for (size_t number = 0; number < known.size(); ++number) {
    const std::string one = lower_case(known[number]);
    const size_t distance = edit_distance(said, one);
    const bool close = distance <= std::max<size_t>(1, std::max(said.size(), one.size()) / 3);
    if (close || is_part(said, one) || is_part(one, said)) near.emplace_back(distance, number);
  }
  std::sort(near.begin(), near.end());
  std::vector<std::string> words;
  for (const auto& [distance, number] : near) {
    if (words.size() < most) words.push_back(known[number]);
  }
  return words;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
  const std::vector<std::string> near = nearest_words(word, known);
  std::string list;
  for (size_t i = 0; i < near.size(); ++i) {
    if (i > 0) list += i + 1 == near.size() ? " or " : ", ";
    list += "'" + near[i] + "'";
  }
  return list.empty() ? "" : "did you mean " + list + "?";
}

}  // namespace pangu
