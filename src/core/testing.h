// What the unit tests of every room share: a folder that is removed with its test, and the message
// of an error. It is not part of the program.
#pragma once
#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "core/error.h"

namespace pangu {

// The folder of the repository, and the Python that CMake was given. Both are in
// tests/doctest_main.cpp alone, so that no other object depends on where the repository lies.
extern const char* const kSourceDir;
extern const char* const kReferencePython;

struct TestFolder {
  std::filesystem::path path;

  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "pangu_").string() + "XXXXXX";
    path = mkdtemp(name.data());
  }
  ~TestFolder() { std::filesystem::remove_all(path); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  std::string file(const std::string& name) const { return (path / name).string(); }

  // Writes the bytes of a text or of any byte-like container to a file and returns its path.
  // Missing folders are made.
  std::string write(const std::string& name, std::string_view bytes) const {
    std::filesystem::create_directories((path / name).parent_path());
    std::ofstream(path / name, std::ios::binary) << bytes;
    return file(name);
  }
  template <class Bytes>
    requires requires(const Bytes& bytes) { bytes.data(), bytes.size(); }
  std::string write(const std::string& name, const Bytes& bytes) const {
    return write(name, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
};

// The message of the kBadInput error that `act` throws, or "accepted".
template <class Act>
std::string refusal_of(const Act& act) {
  try {
    act();
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kBadInput);
    return error.what();
  }
  return "accepted";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace pangu
