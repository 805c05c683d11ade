// Links to folders: replaced in one step, and made for folders that were copied.
#include "io/atomic_link.h"

#include <doctest/doctest.h>

#include "core/testing.h"
#include "io/atomic_file.h"

using namespace pangu;
namespace fs = std::filesystem;

TEST_CASE("a link is made and replaced") {
  const TestFolder folder;
  folder.write("a/x", std::string("1"));
  folder.write("b/x", std::string("2"));
  const std::string link = folder.file("link");
  io::replace_link(link, "a");
  CHECK(fs::file_size(link + "/x") == 1);
  io::replace_link(link, "b");
  CHECK(fs::read_symlink(link) == "b");
  io::require_links(link);
  int entries = 0;
  for (const auto& entry : fs::directory_iterator(folder.path)) entries += entry.exists();
  CHECK(entries == 3);
}

TEST_CASE("a folder in the link's place is not lost") {
  const TestFolder folder;
  folder.write("link/x", std::string("1"));
  const std::string link = folder.file("link");
  try {
    io::replace_link(link, "b");
    FAIL("replaced");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kIo);
  }
  io::link_folder(link, "moved");
  CHECK(fs::read_symlink(link) == "moved");
  CHECK(fs::exists(folder.file("moved/x")));
  CHECK(fs::exists(link + "/x"));
  io::link_folder(link, "again");  // it is a link already
  CHECK(fs::read_symlink(link) == "moved");
  CHECK_THROWS_AS(io::require_links(folder.file("gone/link")), Error);
}

TEST_CASE("a temporary link that a killed process left is removed like its files") {
  const TestFolder folder;
  fs::create_symlink("nowhere", folder.file("link.tmp-999999999-0"));
  io::remove_stale_temporaries(folder.file("link"));
  CHECK(!fs::is_symlink(folder.file("link.tmp-999999999-0")));
}
