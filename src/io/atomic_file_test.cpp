#include "io/atomic_file.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "core/testing.h"
#include "io/mapped_file.h"

using namespace pangu::io;
namespace fs = std::filesystem;

TEST_CASE("temporaries of writers that are gone are removed, those of running ones stay") {
  const pangu::TestFolder gone_later;
  const std::string folder = gone_later.path.string();
  {
    AtomicWriter ours(folder + "/a");
    write_file_atomic(folder + "/a.tmp-999999999-0",
                      "of a process number that no system gives out");
    write_file_atomic(folder + "/b.tmp-999999999-0", "of another file");
    remove_stale_temporaries(folder + "/a");
    CHECK(!fs::exists(folder + "/a.tmp-999999999-0"));
    CHECK(fs::exists(folder + "/b.tmp-999999999-0"));
    CHECK_NOTHROW(ours.commit());
  }
  CHECK(fs::exists(folder + "/a"));
}

TEST_CASE("a new file never replaces one that is there") {
  const pangu::TestFolder folder;
  const auto bytes = [](std::string_view text) { return std::as_bytes(std::span(text)); };
  const std::string path = folder.file("a");
  CHECK(write_new_file_atomic(path, bytes("first")));
  CHECK_FALSE(write_new_file_atomic(path, bytes("second")));
  CHECK(read_text_file(path) == "first");
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);
}
