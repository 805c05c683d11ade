// SHA-256 (FIPS 180-4) for checksums, fixed splits and names of cached content. It is not meant for
// secrets.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace pangu {

// Takes the text in pieces by update(), then gives its hash once by digest().
class Sha256 {
 public:
  Sha256& update(std::span<const std::byte> bytes);
  Sha256& update(std::string_view text);
  // Ends the message and returns its hash. REQUIRES: called once, with no update afterwards.
  std::array<uint8_t, 32> digest();

 private:
  void absorb(const uint8_t* block);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> buffer_{};
  size_t filled_ = 0;
  uint64_t size_bytes_ = 0;
};

// Returns 64 lower-case hexadecimal digits.
std::string sha256_hex(std::string_view text);
std::string hex_of(std::span<const uint8_t> bytes);

// The first eight bytes of SHA-256 as a big-endian number: the key of every split that is fixed by
// a hash (tools/mini_data uses the same number).
uint64_t stable_hash(std::string_view text);

}  // namespace pangu
