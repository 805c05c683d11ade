#include "core/hash.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <string>

using namespace pangu;

TEST_CASE("SHA-256 gives the published answers") {
  // FIPS 180-4 examples and the NIST long message.
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256_hex(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("a message gives the same hash however it is cut") {
  CHECK(rc::check([](const std::string& text, const std::vector<uint8_t>& cuts) {
    Sha256 hash;
    std::string_view rest = text;
    for (const uint8_t cut : cuts) {
      hash.update(rest.substr(0, cut));
      rest.remove_prefix(std::min<size_t>(cut, rest.size()));
    }
    RC_ASSERT(hex_of(hash.update(rest).digest()) == sha256_hex(text));
  }));
}

TEST_CASE("paddings around a block's end are right") {
  // Python: [hashlib.sha256(b'x' * n).hexdigest()[:8] for n in (55, 56, 63, 64, 65)]
  const std::pair<size_t, const char*> known[] = {
      {55, "d5e28568"}, {56, "04c26261"}, {63, "75220b47"}, {64, "7ce10097"}, {65, "9537c5fd"}};
  for (const auto& [size, hex] : known) {
    CAPTURE(size);
    CHECK(sha256_hex(std::string(size, 'x')).substr(0, 8) == hex);
  }
}

TEST_CASE("the stable hash is the first eight bytes, big-endian") {
  CHECK(stable_hash("abc") == 0xba7816bf8f01cfeaull);
}
