// A folder that a test fills and that is gone with it.
#pragma once
#include <filesystem>
#include <fstream>
#include <string>

namespace pangu::data {

struct TestFolder {
  std::filesystem::path path;

  TestFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "pangu_data_XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~TestFolder() { std::filesystem::remove_all(path); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  std::string file(const std::string& name) const { return (path / name).string(); }

  // Bytes of any byte-like container; folders on the way are made.
  template <class Content>
  void write(const std::string& name, const Content& content) const {
    std::filesystem::create_directories((path / name).parent_path());
    std::ofstream out(path / name, std::ios::binary);
    out.write(reinterpret_cast<const char*>(content.data()),
              static_cast<std::streamsize>(content.size()));
  }
};

}  // namespace pangu::data
