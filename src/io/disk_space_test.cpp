#include "io/disk_space.h"

#include <doctest/doctest.h>

#include "core/testing.h"

namespace pangu::io {
namespace {

std::string failure_of(const std::string& folder, uint64_t bytes) {
  try {
    require_space(folder, bytes);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kIo);
    return error.what();
  }
  return "enough";
}

TEST_CASE("a folder that is still to be made has the room of the one above it") {
  const TestFolder folder;
  CHECK(free_bytes_for(folder.file("a/b/c")) > 0);
  CHECK(failure_of(folder.file("a/b/c"), 1) == "enough");
  CHECK(!std::filesystem::exists(folder.file("a")));
}

TEST_CASE("too little room is told with what is needed and what there is") {
  const TestFolder folder;
  const std::string failure = failure_of(folder.file("out"), uint64_t{1} << 62);
  CHECK(contains(failure, folder.file("out")));
  CHECK(contains(failure, "4611686018427.4 MB"));
  CHECK(contains(failure, "found"));
}

TEST_CASE("a file where a folder should be is told") {
  const TestFolder folder;
  folder.write("file", std::string("x"));
  CHECK(contains(failure_of(folder.file("file/out"), 1), "file/out"));
}

}  // namespace
}  // namespace pangu::io
