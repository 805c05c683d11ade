#include "io/file_series.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>
#include <tuple>
#include <utility>

#include "core/error.h"
#include "io/atomic_file.h"

namespace pangu::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNumber = "number";
constexpr size_t kNumberDigits = 4;
constexpr size_t kMaxValueBytes = 64;

std::string padded(int number, size_t digits) {
  std::string text = std::to_string(number);
  if (text.size() < digits) text.insert(0, digits - text.size(), '0');
  return text;
}

// A value as a part of a name: no folder, nothing that shells or other systems trip over.
std::string for_name(const std::string& value) {
  std::string name;
  for (const char c : value) {
    const bool odd = static_cast<unsigned char>(c) < 0x20 || c == 0x7F ||
                     std::string_view("/\\:*?\"<>|").find(c) != std::string_view::npos;
    name += odd ? '_' : c;
  }
  if (name.size() > kMaxValueBytes) {
    size_t end = kMaxValueBytes;
    while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
    name.resize(end);
  }
  while (!name.empty() && (name.back() == ' ' || name.back() == '.')) name.pop_back();
  return name.starts_with('.') ? "_" + name.substr(1) : name;
}

// The next {word} of a pattern from `at` on: where it begins and ends; npos if there is none.
std::pair<size_t, size_t> next_word(std::string_view pattern, size_t at) {
  for (size_t open = pattern.find('{', at); open != std::string_view::npos;
       open = pattern.find('{', open + 1)) {
    const size_t close = pattern.find('}', open);
    if (close == std::string_view::npos) break;
    const std::string_view word = pattern.substr(open + 1, close - open - 1);
    if (!word.empty() &&
        word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789") == std::string_view::npos) {
      return {open, close + 1};
    }
  }
  return {std::string_view::npos, std::string_view::npos};
}

// One above the largest number that follows `begin` in the names of a folder.
int next_number(const fs::path& folder, const std::string& begin) {
  int largest = 0;
  std::error_code failed;  // a folder that is not there yet is empty
  for (const auto& entry : fs::directory_iterator(folder.empty() ? "." : folder, failed)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(begin)) continue;
    int number = 0;
    std::from_chars(name.data() + begin.size(), name.data() + name.size(), number);
    largest = std::max(largest, number);
  }
  return largest + 1;
}

}  // namespace

bool has_name_words(std::string_view name) {
  return next_word(name, 0).first != std::string_view::npos;
}

FileSeries::FileSeries(SeriesPlan plan) : plan_(std::move(plan)) {
  for (auto [at, end] = next_word(plan_.pattern, 0); at != std::string::npos;
       std::tie(at, end) = next_word(plan_.pattern, end)) {
    const std::string word = plan_.pattern.substr(at + 1, end - at - 2);
    if (word == kNumber) {
      numbered_ = true;
    } else if (!plan_.word(word, 0)) {
      throw bad_input("name of the file '" + plan_.pattern + "'",
                      "words in braces out of number, " + plan_.words_known, "'{" + word + "}'");
    }
  }
  alike_ = !numbered_ && has_alike_names();
}

bool FileSeries::has_alike_names() const {
  std::set<std::string> names;
  for (int index = 0; index < plan_.count; ++index) {
    if (!names.insert(filled(index)).second) return true;
  }
  return false;
}

std::string FileSeries::filled(int index) const {
  std::string name;
  std::optional<int> number;
  size_t done = 0;
  for (auto [at, end] = next_word(plan_.pattern, 0); at != std::string::npos;
       std::tie(at, end) = next_word(plan_.pattern, end)) {
    name += plan_.pattern.substr(done, at - done);
    done = end;
    const std::string word = plan_.pattern.substr(at + 1, end - at - 2);
    if (word != kNumber) {
      name += for_name(plan_.word(word, index).value_or(""));
      continue;
    }
    if (!number) {
      const fs::path begin(name);
      number = next_number(begin.parent_path(), begin.filename().string());
    }
    name += padded(*number, kNumberDigits);
  }
  return name + plan_.pattern.substr(done);
}

std::string FileSeries::candidate(int index, int further) const {
  const std::string name = filled(index);
  if (numbered_ || (!alike_ && further == 0)) return name;
  const int number = alike_ ? index + further : further;
  const size_t digits = alike_ ? std::to_string(plan_.count - 1).size() : 1;
  const fs::path path(name);
  return (path.parent_path() /
          (path.stem().string() + "-" + padded(number, digits) + path.extension().string()))
      .string();
}

std::string FileSeries::name_of(int index) const { return candidate(index, further_); }

void FileSeries::try_place() const {
  const std::string name = name_of(0);
  const fs::path folder = fs::path(name).parent_path();
  std::error_code failed;
  if (!folder.empty()) fs::create_directories(folder, failed);
  if (failed) throw io_error("cannot make the folder", folder.string(), failed.value());
  if (fs::is_directory(name, failed)) {
    throw bad_input("name of the file", "a file", "the folder '" + name + "'");
  }
  const AtomicWriter tried(name);  // makes a temporary file, and removes it
}

std::string FileSeries::write(int index, std::span<const std::byte> bytes) {
  stepped_aside_ = false;
  int own = 0;  // of a plain name only the file that is in its way counts
  for (int& further = alike_ ? further_ : own;; ++further, stepped_aside_ = !numbered_) {
    // A file that came between gives {number} another value.
    const std::string name = candidate(index, further);
    const fs::path folder = fs::path(name).parent_path();
    std::error_code failed;  // who writes there says why
    if (!folder.empty()) fs::create_directories(folder, failed);
    remove_stale_temporaries(name);  // of programs that were killed while they wrote
    if (plan_.overwrite) {
      write_file_atomic(name, bytes);
      return name;
    }
    // A name that is taken is passed by before the bytes are written for nothing.
    if (fs::exists(fs::symlink_status(name, failed))) continue;
    if (write_new_file_atomic(name, bytes)) return name;
  }
}

}  // namespace pangu::io
