#include "io/file_hash.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "core/error.h"
#include "core/hash.h"
#include "core/testing.h"

using namespace pangu;
using namespace pangu::io;

TEST_CASE("a small file is marked by its SHA-256, a folder by names, sizes and ends") {
  const TestFolder folder;
  const std::string file = folder.write("a/b.bin", std::string_view("abc"));
  CHECK(content_mark(file) == ContentMark{"sha256", sha256_hex("abc")});
  const ContentMark before = content_mark(folder.file("a"));
  CHECK(before.kind == "ends");
  folder.write("a/b.bin", std::string_view("abd"));
  CHECK(content_mark(folder.file("a")) != before);
  folder.write("a/b.bin", std::string_view("abc"));
  CHECK(content_mark(folder.file("a")) == before);
  folder.write("a/c.bin", std::string_view(""));
  CHECK(content_mark(folder.file("a")) != before);
  CHECK_THROWS_AS(content_mark(folder.file("none")), Error);
}

TEST_CASE("a large file is marked by its size and both ends") {
  const TestFolder folder;
  const std::string file = folder.write("a", std::string_view("begin"));
  std::filesystem::resize_file(file, size_t{65} << 20);  // sparse
  const ContentMark mark = content_mark(file);
  CHECK(mark.kind == "ends");
  std::filesystem::resize_file(file, (size_t{65} << 20) + 1);
  CHECK(content_mark(file) != mark);
}

TEST_CASE("a LoRA's hash is that of what stands behind its header") {
  const TestFolder folder;
  const std::string header("\3\0\0\0\0\0\0\0{ }", 11);
  CHECK(sha256_of_tensors(folder.write("a", std::string_view(header + "tensors"))) ==
        sha256_hex("tensors"));
  for (const std::string& other :
       {std::string("short"), std::string("\xFF\0\0\0\0\0\0\0{ }", 11)}) {
    CHECK(sha256_of_tensors(folder.write("b", std::string_view(other))) == sha256_hex(other));
  }
}
