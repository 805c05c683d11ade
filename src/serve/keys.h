// API keys: who they belong to, and how they are compared.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/http.h"

namespace pangu::serve {

struct ApiKey {
  std::string name;  // of its owner: letters, digits, "_", "-" and "."
  std::string key;
  bool admin = false;
};

// Keys of a file: a line "NAME KEY" or "NAME KEY admin" each; empty lines and those that begin with
// "#" say nothing. Error kBadInput names the line: a key of fewer than 16 characters, a name that
// comes twice; also for a file without keys.
std::vector<ApiKey> keys_from_text(const std::string& text, const std::string& name);

// Whether two texts are equal, in a time that depends on their lengths alone.
bool equal_in_constant_time(std::string_view a, std::string_view b);

// Who has this key; every key is compared, so that the time says nothing.
std::optional<Caller> owner_of(const std::vector<ApiKey>& keys, std::string_view key);

// The key of an Authorization header: "Bearer KEY", or "Basic" with it as the password; "" if there
// is none.
std::string key_of_header(const std::string& authorization);

// Bytes of base64 (RFC 4648), without line breaks; nothing if it is none.
std::optional<std::string> base64_decoded(std::string_view text);
std::string base64_encoded(std::string_view bytes);

// `count` bytes of the system's random source in hexadecimal.
std::string random_hex(size_t count);

}  // namespace pangu::serve
