// Blocks of 512 bytes: a header, then the content padded to whole blocks (POSIX.1-2001 pax, and the
// GNU manual's "Basic Tar Format" for long names and base-256 sizes).
#include "data/tar.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>

#include "core/error.h"

namespace pangu::data {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kMaxNameBytes = 4096;
constexpr size_t kMaxExtendedBytes = size_t{1} << 20;  // of one pax or long-name record
constexpr size_t kMaxMembers = 10'000'000;

struct Field {
  size_t offset, size;
};
constexpr Field kName{0, 100}, kMode{100, 8}, kUid{108, 8}, kGid{116, 8}, kSize{124, 12},
    kTime{136, 12}, kChecksum{148, 8}, kMagic{257, 6}, kPrefix{345, 155};
constexpr size_t kTypeOffset = 156;

std::string_view text_of(const char* block, Field field) {
  const std::string_view whole(block + field.offset, field.size);
  return whole.substr(0, whole.find('\0'));
}

// Octal with blanks around it, or GNU's base-256 if the top bit is set.
std::optional<uint64_t> number_of(const char* block, Field field) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(block + field.offset);
  uint64_t value = 0;
  if (bytes[0] & 0x80) {
    if (bytes[0] != 0x80) return std::nullopt;  // negative or beyond any disk
    for (size_t i = 1; i < field.size; ++i) {
      if (value >> 56) return std::nullopt;
      value = value << 8 | bytes[i];
    }
    return value;
  }
  std::string_view text = text_of(block, field);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  for (const char c : text) {
    if (c < '0' || c > '7') return std::nullopt;
    value = value << 3 | static_cast<uint64_t>(c - '0');  // at most 12 digits: 36 bits
  }
  return value;
}

// The sum of all bytes with the checksum field taken as blanks.
uint64_t checksum_of(const char* block) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    const bool own = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.size;
    sum += own ? ' ' : static_cast<uint8_t>(block[i]);
  }
  return sum;
}

// What pax and GNU records say about the next member.
struct Override {
  std::optional<std::string> name;
  std::optional<uint64_t> size;
};

// "LENGTH KEY=VALUE\n" records. False if malformed.
bool read_pax(std::string_view records, Override& next_) {
  while (!records.empty()) {
    size_t length = 0, digits = 0;
    while (digits < records.size() && digits < 8 && records[digits] >= '0' &&
           records[digits] <= '9') {
      length = length * 10 + static_cast<size_t>(records[digits++] - '0');
    }
    if (digits == 0 || length > records.size() || length < digits + 4 || records[digits] != ' ' ||
        records[length - 1] != '\n') {
      return false;
    }
    const std::string_view record = records.substr(digits + 1, length - digits - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos) return false;
    const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key == "path") next_.name = std::string(value);
    if (key == "size") {
      if (value.empty() || value.size() > 18) return false;
      uint64_t size = 0;
      for (const char c : value) {
        if (c < '0' || c > '9') return false;
        size = size * 10 + static_cast<uint64_t>(c - '0');
      }
      next_.size = size;
    }
    records.remove_prefix(length);
  }
  return true;
}

std::string name_of(const char* block) {
  const bool posix = std::memcmp(block + kMagic.offset, "ustar\0", kMagic.size) == 0;
  const std::string_view prefix = posix ? text_of(block, kPrefix) : std::string_view();
  std::string name(text_of(block, kName));
  return prefix.empty() ? name : std::string(prefix) + "/" + name;
}

void put(std::array<char, kBlock>& block_, Field field, uint64_t value) {
  // Octal, zero-padded, ended by a NUL.
  char text[32];
  std::snprintf(text, sizeof text, "%0*llo", static_cast<int>(field.size - 1),
                static_cast<unsigned long long>(value));
  std::memcpy(block_.data() + field.offset, text, field.size);
}

}  // namespace

TarListing list_tar(std::span<const std::byte> archive) {
  const auto* bytes = reinterpret_cast<const char*>(archive.data());
  TarListing listing;
  Override next;
  size_t at = 0;
  const auto damaged = [&](const std::string& what) {
    listing.damage = what + " at byte " + std::to_string(at);
    return listing;
  };
  while (at < archive.size()) {
    if (archive.size() - at < kBlock) return damaged("cut header");
    const char* block = bytes + at;
    if (std::all_of(block, block + kBlock, [](char c) { return c == 0; })) return listing;
    const auto checksum = number_of(block, kChecksum);
    if (!checksum || *checksum != checksum_of(block)) return damaged("wrong header checksum");
    const char type = block[kTypeOffset];
    const bool extended = type == 'x' || type == 'L' || type == 'g' || type == 'K';
    auto size = number_of(block, kSize);
    if (!extended && next.size) size = next.size;
    if (!size) return damaged("impossible size");
    const size_t content = at + kBlock;
    if (*size > archive.size() - content) return damaged("content beyond the end of the archive");
    if (extended) {
      if (*size > kMaxExtendedBytes) return damaged("an extended header of over 1 MiB");
      const std::string_view record(bytes + content, *size);
      if (type == 'x' && !read_pax(record, next)) return damaged("malformed pax record");
      if (type == 'L') next.name = std::string(record.substr(0, record.find('\0')));
    } else {
      std::string name = next.name ? *next.name : name_of(block);
      if (name.size() > kMaxNameBytes) return damaged("a name of over 4096 bytes");
      if (listing.members.size() >= kMaxMembers) return damaged("over ten million members");
      // '0' and NUL are regular files, '7' is a contiguous one.
      if (type == '0' || type == '\0' || type == '7') {
        listing.members.push_back({std::move(name), content, *size});
      }
      next = {};
    }
    const size_t padded = (*size + kBlock - 1) / kBlock * kBlock;
    if (padded > archive.size() - content) {
      // Some writers leave the last padding out; a part of it is a cut.
      if (*size < archive.size() - content) return damaged("cut padding");
      return listing;
    }
    at = content + padded;
  }
  return listing;
}

void TarWriter::add(const std::string& name, std::span<const std::byte> content) {
  constexpr uint64_t kOrdinaryMode = 0644;
  if (name.empty() || name.size() > kName.size) {
    throw Error(ErrorCode::kInternal, "a tar name must have 1 to 100 bytes: '" + name + "'");
  }
  if (content.size() >= size_t{1} << 33) {  // eleven octal digits
    throw bad_input("tar member '" + name + "'", "less than 8 GiB", "more");
  }
  std::array<char, kBlock> block{};
  name.copy(block.data(), kName.size);
  put(block, kMode, kOrdinaryMode);
  put(block, kUid, 0);
  put(block, kGid, 0);
  put(block, kSize, content.size());
  put(block, kTime, 0);
  block[kTypeOffset] = '0';
  std::memcpy(block.data() + kMagic.offset,
              "ustar\0"
              "00",
              8);
  put(block, {kChecksum.offset, 7}, checksum_of(block.data()));
  block[kChecksum.offset + 7] = ' ';
  out_.write(std::as_bytes(std::span(block)));
  out_.write(content);
  static constexpr std::array<std::byte, kBlock> kZeros{};
  out_.write(std::span(kZeros).first((kBlock - content.size() % kBlock) % kBlock));
}

void TarWriter::commit() {
  const std::array<std::byte, 2 * kBlock> end{};
  out_.write(end);
  out_.commit();
}

}  // namespace pangu::data
