// The directory at the end of an archive is what counts: a local header may leave its sizes open.
#include "io/python/zip_archive.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

using ZipBytes = std::span<const std::byte>;

constexpr uint32_t kLocalSign = 0x04034b50, kCentralSign = 0x02014b50, kEndSign = 0x06054b50;
constexpr uint32_t kEnd64Sign = 0x06064b50, kLocator64Sign = 0x07064b50;
constexpr size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kLocator64Bytes = 20;
constexpr size_t kEnd64Bytes = 56, kLongestComment = 65535;
constexpr uint16_t kStored = 0, kDeflated = 8, kWide = 1;  // kWide: the field of 64-bit sizes
constexpr uint32_t kInWideField = 0xffffffff;
constexpr size_t kMostEntries = 1'000'000;

// Little-endian numbers at an offset that was checked.
template <typename T>
T number_at(ZipBytes bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

Error damaged(const std::string& name, const std::string& what) {
  return bad_input(name, "a whole zip archive", what, "fetch or write the file again");
}

struct Directory {
  uint64_t offset = 0, size_bytes = 0, entries = 0;
};

Directory directory_of(ZipBytes bytes, const std::string& name) {
  if (bytes.size() < kEndBytes) throw damaged(name, std::to_string(bytes.size()) + " bytes");
  const size_t last = bytes.size() - kEndBytes;
  const size_t first = last - std::min(last, kLongestComment);
  for (size_t at = last + 1; at-- > first;) {
    if (number_at<uint32_t>(bytes, at) != kEndSign) continue;
    Directory found{number_at<uint32_t>(bytes, at + 16), number_at<uint32_t>(bytes, at + 12),
                    number_at<uint16_t>(bytes, at + 10)};
    const bool has_locator =
        at >= kLocator64Bytes && number_at<uint32_t>(bytes, at - kLocator64Bytes) == kLocator64Sign;
    if (has_locator) {
      const auto wide = number_at<uint64_t>(bytes, at - kLocator64Bytes + 8);
      if (wide > bytes.size() || bytes.size() - wide < kEnd64Bytes ||
          number_at<uint32_t>(bytes, wide) != kEnd64Sign) {
        throw damaged(name, "a 64-bit end that is none");
      }
      found = {number_at<uint64_t>(bytes, wide + 48), number_at<uint64_t>(bytes, wide + 40),
               number_at<uint64_t>(bytes, wide + 32)};
    }
    if (found.offset > bytes.size() || found.size_bytes > bytes.size() - found.offset ||
        found.entries > kMostEntries) {
      throw damaged(name, "a directory outside of the file");
    }
    return found;
  }
  throw damaged(name, "no directory at its end");
}

// Sizes and offset of a directory's entry, the wide ones out of its extra field.
struct Extent {
  uint64_t size_bytes, stored_bytes, offset;
};

Extent extent_of(ZipBytes entry, size_t name_bytes, size_t extra_bytes, const std::string& name) {
  Extent extent{number_at<uint32_t>(entry, 24), number_at<uint32_t>(entry, 20),
                number_at<uint32_t>(entry, 42)};
  ZipBytes extra = entry.subspan(kCentralBytes + name_bytes, extra_bytes);
  while (extra.size() >= 4) {
    const size_t length = number_at<uint16_t>(extra, 2);
    if (extra.size() - 4 < length) throw damaged(name, "a cut extra field");
    if (number_at<uint16_t>(extra, 0) == kWide) {
      ZipBytes field = extra.subspan(4, length);
      for (uint64_t* one : {&extent.size_bytes, &extent.stored_bytes, &extent.offset}) {
        if (*one != kInWideField) continue;
        if (field.size() < sizeof *one) throw damaged(name, "a cut 64-bit size");
        *one = number_at<uint64_t>(field, 0);
        field = field.subspan(sizeof *one);
      }
    }
    extra = extra.subspan(4 + length);
  }
  return extent;
}

void append_number(std::string& out, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

}  // namespace

std::vector<ZipEntry> read_zip(std::span<const std::byte> bytes, const std::string& name) {
  const Directory directory = directory_of(bytes, name);
  ZipBytes rest = bytes.subspan(directory.offset, directory.size_bytes);
  std::vector<ZipEntry> entries;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    if (rest.size() < kCentralBytes || number_at<uint32_t>(rest, 0) != kCentralSign) {
      throw damaged(name, "a cut directory");
    }
    const size_t name_bytes = number_at<uint16_t>(rest, 28);
    const size_t extra_bytes = number_at<uint16_t>(rest, 30);
    const size_t whole = kCentralBytes + name_bytes + extra_bytes + number_at<uint16_t>(rest, 32);
    if (rest.size() < whole) throw damaged(name, "a cut directory");
    ZipEntry entry;
    entry.name.assign(reinterpret_cast<const char*>(rest.data()) + kCentralBytes, name_bytes);
    const Extent extent = extent_of(rest, name_bytes, extra_bytes, name);
    const auto flags = number_at<uint16_t>(rest, 8), method = number_at<uint16_t>(rest, 10);
    if (flags & 1 || (method != kStored && method != kDeflated)) {
      throw bad_input(
          name, "entries that are stored or deflated",
          short_quoted(entry.name) + (flags & 1 ? ", encrypted" : ", compressed otherwise"));
    }
    if (extent.offset > bytes.size() || bytes.size() - extent.offset < kLocalBytes ||
        number_at<uint32_t>(bytes, extent.offset) != kLocalSign) {
      throw damaged(name, "no entry where " + short_quoted(entry.name) + " should be");
    }
    const uint64_t begin = extent.offset + kLocalBytes +
                           number_at<uint16_t>(bytes, extent.offset + 26) +
                           number_at<uint16_t>(bytes, extent.offset + 28);
    if (begin > bytes.size() || extent.stored_bytes > bytes.size() - begin ||
        (method == kStored && extent.stored_bytes != extent.size_bytes)) {
      throw damaged(name, short_quoted(entry.name) + " cut");
    }
    entry.deflated = method == kDeflated;
    entry.stored = bytes.subspan(begin, extent.stored_bytes);
    entry.size_bytes = extent.size_bytes;
    entries.push_back(std::move(entry));
    rest = rest.subspan(whole);
  }
  return entries;
}

std::vector<std::byte> contents_of(const ZipEntry& entry, size_t cap_bytes,
                                   const std::string& name) {
  if (entry.size_bytes > cap_bytes) {
    throw bad_input(name + ", " + short_quoted(entry.name),
                    "at most " + std::to_string(cap_bytes) + " bytes",
                    std::to_string(entry.size_bytes));
  }
  if (!entry.deflated) return {entry.stored.begin(), entry.stored.end()};
  // Deflate makes at most 1032 bytes of one: a size beyond that is a lie, and is not allocated.
  constexpr uint64_t kMostGain = 1032;
  if (entry.size_bytes / kMostGain > entry.stored.size() ||
      entry.stored.size() > std::numeric_limits<uInt>::max() ||
      entry.size_bytes > std::numeric_limits<uInt>::max()) {
    throw damaged(name, short_quoted(entry.name) + " of an impossible size");
  }
  std::vector<std::byte> out(entry.size_bytes);
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) {  // negative: no header in front
    throw Error(ErrorCode::kUnavailable, "zlib: inflateInit2 failed");
  }
  std::byte none{};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(entry.stored.data()));
  stream.avail_in = static_cast<uInt>(entry.stored.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.empty() ? &none : out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  if (status != Z_STREAM_END || stream.total_out != out.size()) {
    throw damaged(name, short_quoted(entry.name) + " with damaged bytes");
  }
  return out;
}

std::string zip_of(const std::vector<ZipFile>& files) {
  std::string archive, directory;
  for (const ZipFile& file : files) {
    const uint64_t offset = archive.size();
    if (offset + file.bytes.size() >= kInWideField) {
      throw Error(ErrorCode::kInternal, "zip_of: 4 GiB and more are not written");
    }
    std::string shared;            // of both headers
    append_number(shared, 20, 2);  // version 2.0
    append_number(shared, 0, 2);   // flags
    append_number(shared, kStored, 2);
    append_number(shared, 0, 2);  // time: midnight ...
    append_number(shared, 0x0021,
                  2);  // ... of 1 January 1980, so that equal content is equal bytes
    append_number(shared,
                  crc32_z(0, reinterpret_cast<const Bytef*>(file.bytes.data()), file.bytes.size()),
                  4);
    append_number(shared, file.bytes.size(), 4);
    append_number(shared, file.bytes.size(), 4);
    append_number(shared, file.name.size(), 2);
    append_number(shared, 0, 2);  // extra field
    append_number(archive, kLocalSign, 4);
    archive += shared;
    archive += file.name;
    archive += file.bytes;
    append_number(directory, kCentralSign, 4);
    append_number(directory, 20, 2);
    directory += shared;
    append_number(directory, 0, 2);  // comment
    append_number(directory, 0, 2);  // disk
    append_number(directory, 0, 2);  // attributes
    append_number(directory, 0, 4);
    append_number(directory, offset, 4);
    directory += file.name;
  }
  const uint64_t begin = archive.size();
  archive += directory;
  append_number(archive, kEndSign, 4);
  append_number(archive, 0, 4);  // disks
  append_number(archive, files.size(), 2);
  append_number(archive, files.size(), 2);
  append_number(archive, directory.size(), 4);
  append_number(archive, begin, 4);
  append_number(archive, 0, 2);  // comment
  return archive;
}

}  // namespace pangu::io
