#include "io/file_hash.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <span>

#include "core/hash.h"
#include "io/mapped_file.h"

namespace pangu::io {
namespace {

namespace fs = std::filesystem;

constexpr size_t kWholeBytes = size_t{64} << 20;  // a fifth of a second
constexpr size_t kEndBytes = size_t{64} << 10;
constexpr size_t kHeaderSizeBytes = 8;

std::string hex_of_bytes(std::span<const std::byte> bytes) {
  return hex_of(Sha256().update(bytes).digest());
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

std::string sha256_of_file(const std::string& path) { return sha256_of_files({path}); }

std::string sha256_of_files(const std::vector<std::string>& paths) {
  Sha256 hash;
  for (const std::string& path : paths) {
    const MappedFile file(path);
    hash.update(file.bytes());
  }
  return hex_of(hash.digest());
}

std::string sha256_of_tensors(const std::string& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  uint64_t header = 0;  // its length, little-endian
  for (size_t i = kHeaderSizeBytes; i > 0 && bytes.size() >= kHeaderSizeBytes; --i) {
    header = header << 8 | static_cast<uint64_t>(bytes[i - 1]);
  }
  const bool whole = bytes.size() < kHeaderSizeBytes || header > bytes.size() - kHeaderSizeBytes;
  return hex_of_bytes(whole ? bytes : bytes.subspan(kHeaderSizeBytes + header));
}

ContentMark content_mark(const std::string& path) {
  const bool folder = fs::is_directory(path);
  if (!folder && fs::is_regular_file(path) && fs::file_size(path) <= kWholeBytes) {
    return {"sha256", sha256_of_file(path)};
  }
  Sha256 hash;
  for (const fs::path& one : folder ? files_in(path) : std::vector<fs::path>{path}) {
    const MappedFile file(one.string());
    const auto bytes = file.bytes();
    const size_t end = std::min(bytes.size(), kEndBytes);
    if (folder) hash.update(fs::relative(one, path).string() + "\n");
    hash.update(std::to_string(bytes.size()) + "\n");
    hash.update(bytes.first(end)).update(bytes.last(end));
  }
  return {"ends", hex_of(hash.digest())};
}

}  // namespace pangu::io
