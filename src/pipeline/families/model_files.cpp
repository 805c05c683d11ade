#include "pipeline/families/model_files.h"

#include <algorithm>
#include <filesystem>

#include "core/hash.h"
#include "io/mapped_file.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxJsonBytes = size_t{1} << 20;
constexpr size_t kSampleBytes = size_t{64} << 10;
constexpr size_t kFingerprintDigits = 16;

}  // namespace

JsonFile::JsonFile(const std::string& path) : path_(path) {
  if (!fs::is_regular_file(path)) throw bad_input("model", "the file '" + path + "'", "none");
  json_ = nlohmann::json::parse(io::read_text_file(path, kMaxJsonBytes), nullptr, false);
  if (!json_.is_object()) {
    throw bad_input("'" + path + "'", "a JSON object",
                    json_.is_discarded() ? "a text that is no JSON" : json_.type_name());
  }
}

Error JsonFile::wrong(const std::string& key, const std::string& expected,
                      const std::string& found) const {
  return bad_input("'" + path_ + "', key '" + key + "'", expected, found);
}

void require_files(const std::string& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const fs::path path = fs::path(folder) / name;
    if (!fs::is_regular_file(path)) {
      throw bad_input("model '" + folder + "'", "the file " + name, "none",
                      "is the folder a whole copy?");
    }
  }
}

std::string fingerprint_of(const std::string& folder, const std::vector<std::string>& names) {
  Sha256 hash;
  for (const std::string& name : names) {
    const io::MappedFile file((fs::path(folder) / name).string());
    const auto bytes = file.bytes();
    const size_t sample = std::min(bytes.size(), kSampleBytes);
    hash.update(name + "\n" + std::to_string(bytes.size()) + "\n");
    hash.update(bytes.first(sample)).update(bytes.last(sample));
  }
  return hex_of(hash.digest()).substr(0, kFingerprintDigits);
}

}  // namespace pangu::pipeline
