#include "serve/keys.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <span>
#include <sstream>

#include "core/error.h"
#include "core/hash.h"

namespace pangu::serve {
namespace {

constexpr size_t kShortestKey = 16;
constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool is_name(const std::string& name) {
  return name.size() <= 64 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) || c == '_' || c == '-' || c == '.';
         });
}

}  // namespace

std::vector<ApiKey> keys_from_text(const std::string& text, const std::string& name) {
  std::vector<ApiKey> keys;
  std::set<std::string> names;
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    std::istringstream words(line);
    ApiKey key;
    std::string role, more;
    words >> key.name;
    if (key.name.empty() || key.name.front() == '#') continue;
    words >> key.key >> role >> more;
    const std::string where = name + ":" + std::to_string(number);
    if (!is_name(key.name)) {
      throw bad_input(where, "a name of letters, digits, '_', '-' and '.'", "'" + key.name + "'");
    }
    if (!names.insert(key.name).second) throw bad_input(where, "each name once", key.name);
    if (key.key.size() < kShortestKey) {
      throw bad_input(where, "NAME KEY, the key of at least 16 characters",
                      std::to_string(key.key.size()) + " characters", "openssl rand -hex 24");
    }
    if (!more.empty() || !(role.empty() || role == "admin")) {
      throw bad_input(where, "NAME KEY or NAME KEY admin", "further words");
    }
    key.admin = role == "admin";
    keys.push_back(key);
  }
  if (keys.empty()) throw bad_input(name, "a line NAME KEY for every key", "none");
  return keys;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  // Of hashes, so that not even the length of a key shows.
  Sha256 hash_a, hash_b;
  const auto first = hash_a.update(a).digest(), second = hash_b.update(b).digest();
  volatile uint8_t difference = 0;
  for (size_t i = 0; i < first.size(); ++i) difference = difference | (first[i] ^ second[i]);
  return difference == 0;
}

std::optional<Caller> owner_of(const std::vector<ApiKey>& keys, std::string_view key) {
  std::optional<Caller> owner;
  for (const ApiKey& known : keys) {
    if (equal_in_constant_time(known.key, key)) owner = Caller{known.name, known.admin};
  }
  return owner;
}

std::string key_of_header(const std::string& authorization) {
  const size_t blank = authorization.find(' ');
  if (blank == std::string::npos) return "";
  std::string scheme = authorization.substr(0, blank);
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::string rest = authorization.substr(blank + 1);
  if (scheme == "bearer") return rest;
  if (scheme != "basic") return "";
  const auto pair = base64_decoded(rest);
  if (!pair) return "";
  const size_t colon = pair->find(':');
  return colon == std::string::npos ? "" : pair->substr(colon + 1);
}

std::optional<std::string> base64_decoded(std::string_view text) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t value = kBase64.find(c);
    if (value == std::string_view::npos) return {};
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes += static_cast<char>(bits >> count & 0xff);
    }
  }
  if (count == 6) return {};  // one digit alone is no byte
  return bytes;
}

std::string base64_encoded(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0u);
    }
    const size_t digits = std::min<size_t>(bytes.size() - i, 3) + 1;
    for (size_t j = 0; j < 4; ++j) text += j < digits ? kBase64[bits >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

std::string random_hex(size_t count) {
  std::vector<uint8_t> bytes(count);
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(count)) {
    throw io_error("cannot read", "the system's random source", errno);
  }
  return hex_of(bytes);
}

}  // namespace pangu::serve
