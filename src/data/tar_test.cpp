#include "data/tar.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <cstdio>
#include <map>
#include <string>

#include "core/error.h"
#include "core/testing.h"
#include "io/mapped_file.h"

using namespace pangu;
using namespace pangu::data;

namespace {

TarListing list(const std::string& bytes) { return list_tar(std::as_bytes(std::span(bytes))); }

std::string archive_of(const std::map<std::string, std::string>& members) {
  const TestFolder folder;
  TarWriter writer(folder.file("x.tar"));
  for (const auto& [name, text] : members) writer.add(name, std::as_bytes(std::span(text)));
  writer.commit();
  return io::read_text_file(folder.file("x.tar"));
}

// The same header with other fields and a fresh checksum.
std::string patched(std::string archive, size_t offset, const std::string& bytes) {
  archive.replace(offset, bytes.size(), bytes);
  archive.replace(148, 8, 8, ' ');
  unsigned sum = 0;
  for (int i = 0; i < 512; ++i) sum += static_cast<unsigned char>(archive[i]);
  char text[16];
  std::snprintf(text, sizeof text, "%06o", sum);
  archive.replace(148, 7, std::string(text, 7));
  return archive;
}

}  // namespace

TEST_CASE("what is written is listed, in order, with its bytes") {
  const std::string bytes = archive_of({{"a.txt", "hello"},
                                        {"b/c.webp", std::string(1024, 'x')},
                                        {"d", ""},
                                        {std::string(100, 'n'), "y"}});
  CHECK(bytes.size() % 512 == 0);
  const TarListing listing = list(bytes);
  CHECK(listing.damage == "");
  REQUIRE(listing.members.size() == 4);
  CHECK(listing.members[0].name == "a.txt");
  CHECK(bytes.substr(listing.members[0].offset, listing.members[0].size_bytes) == "hello");
  CHECK(listing.members[1].size_bytes == 1024);
  CHECK(listing.members[2].size_bytes == 0);
  CHECK(listing.members[3].name == std::string(100, 'n'));
}

TEST_CASE("any contents survive") {
  CHECK(rc::check([](const std::vector<std::string>& contents) {
    std::map<std::string, std::string> members;
    for (size_t i = 0; i < contents.size(); ++i) members["m" + std::to_string(i)] = contents[i];
    const std::string bytes = archive_of(members);
    const TarListing listing = list(bytes);
    RC_ASSERT(listing.damage.empty());
    RC_ASSERT(listing.members.size() == members.size());
    for (const TarMember& member : listing.members) {
      RC_ASSERT(bytes.substr(member.offset, member.size_bytes) == members.at(member.name));
    }
  }));
}

TEST_CASE("archives of GNU tar and Python are read: long names, pax, prefixes, folders and links") {
  // Made by tools/make_tar_fixtures.py.
  const std::string folder = std::string(kSourceDir) + "/tests/fuzz/corpus/tar/";
  const std::string deep = std::string(60, 'd') + "/" + std::string(80, 'f') + ".txt";
  const std::string longest = std::string(120, 'e') + "/" + std::string(140, 'g') + ".txt";
  for (const char* kind : {"ustar.tar", "gnu.tar", "pax.tar"}) {
    CAPTURE(kind);
    const std::string bytes = io::read_text_file(folder + kind);
    const TarListing listing = list(bytes);
    CHECK(listing.damage == "");
    std::map<std::string, std::string> read;
    for (const TarMember& member : listing.members) {
      read[member.name] = bytes.substr(member.offset, member.size_bytes);
    }
    CHECK(read.at("one.txt") == "1");
    CHECK(read.at(deep) == "deep");
    CHECK(read.count("link.txt") == 0);
    CHECK(read.count("folder") == 0);
    if (std::string(kind) != "ustar.tar") {
      CHECK(read.at(longest) == "longest");
      CHECK(read.at("猫.txt") == "cat");
    }
  }
}

TEST_CASE("a cut archive gives the members before the cut") {
  const std::string bytes =
      archive_of({{"a", std::string(600, 'a')}, {"b", std::string(600, 'b')}});
  CHECK(list(bytes.substr(0, 1000)).members.empty());
  CHECK(list(bytes.substr(0, 1000)).damage == "content beyond the end of the archive at byte 0");
  CHECK(list(bytes.substr(0, 1536 + 100)).members.size() == 1);
  CHECK(list(bytes.substr(0, 1536 + 100)).damage == "cut header at byte 1536");
  CHECK(list(bytes.substr(0, 3072)).members.size() == 2);  // without the end blocks
  CHECK(list(bytes.substr(0, 3072)).damage == "");
  CHECK(list("").members.empty());
}

TEST_CASE("hostile headers stop the listing with the reason") {
  const std::string good = archive_of({{"a", "hello"}});
  std::string flipped = good;
  flipped[0] = 'b';
  CHECK(list(flipped).damage == "wrong header checksum at byte 0");
  CHECK(list(patched(good, 124, "77777777777")).damage ==
        "content beyond the end of the archive at byte 0");
  CHECK(list(patched(good, 124, "0000000000x")).damage == "impossible size at byte 0");
  CHECK(list(patched(good, 124, std::string("\xff\xff\xff\xff", 4))).damage ==
        "impossible size at byte 0");
  CHECK(list(patched(good, 124, "\x80" + std::string(11, '\xff'))).damage ==
        "impossible size at byte 0");
  CHECK(list(patched(good, 156, "x")).damage == "malformed pax record at byte 0");
  std::string base256 = patched(good, 124, std::string("\x80\0\0\0\0\0\0\0\0\0\0\x05", 12));
  CHECK(list(base256).members.at(0).size_bytes == 5);
}

TEST_CASE("a writer refuses names that do not fit") {
  const TestFolder folder;
  TarWriter writer(folder.file("x.tar"));
  CHECK_THROWS_AS(writer.add("", {}), Error);
  CHECK_THROWS_AS(writer.add(std::string(101, 'n'), {}), Error);
}
