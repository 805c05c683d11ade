#include "io/json_file.h"

#include <filesystem>

#include "io/mapped_file.h"

namespace pangu::io {
namespace {

std::string called(const std::string& path, const std::string& what) {
  return (what.empty() ? "" : what + " ") + "'" + path + "'";
}

}  // namespace

nlohmann::json read_json_file(const std::string& path, const std::string& what, JsonLimits limits) {
  std::error_code unreadable;
  if (!std::filesystem::is_regular_file(path, unreadable)) {
    throw bad_input(called(path, what), "a file", "none of that name");
  }
  // Mapped, so that a file far above the limit is refused by its size, unread.
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, called(path, what),
                    limits);
}

JsonReader open_json_file(const std::string& path, const std::string& what, JsonLimits limits) {
  return {called(path, what), read_json_file(path, what, limits)};
}

}  // namespace pangu::io
