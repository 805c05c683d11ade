#include "io/pieces.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "core/testing.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"

using namespace pangu;
using namespace pangu::io;
namespace fs = std::filesystem;

namespace {

struct Folder : TestFolder {
  std::string operator/(const std::string& name) const { return file(name); }
};

std::string letters(size_t count, int step) {
  std::string text(count, ' ');
  for (size_t i = 0; i < count; ++i) text[i] = static_cast<char>('a' + (i * step + i / 7) % 26);
  return text;
}

// Two files, one of them in a folder and one empty, and what they hold.
const std::vector<std::string> kNames = {"a.bin", "inside/b.bin", "empty"};

void fill(const Folder& folder) {
  fs::create_directories(folder / "inside");
  write_file_atomic(folder / "a.bin", letters(1000, 3));
  write_file_atomic(folder / "inside/b.bin", letters(537, 5));
  write_file_atomic(folder / "empty", "");
}

size_t count_files(const std::string& folder) {
  return static_cast<size_t>(
      std::distance(fs::recursive_directory_iterator(folder), fs::recursive_directory_iterator()));
}

}  // namespace

TEST_CASE("files come back from their pieces, whatever the size of a piece") {
  Folder from, pieces;
  fill(from);
  for (const size_t piece_bytes : {100u, 512u, 1000u, 1537u, 4000u}) {
    Folder to;
    const PiecesInfo info =
        write_pieces(from.path, kNames, pieces.path, piece_bytes, {{"step", "7"}});
    CHECK(info.pieces.size() == (1537 + piece_bytes - 1) / piece_bytes);
    for (const auto& piece : info.pieces) CHECK(fs::file_size(pieces / piece.name) <= piece_bytes);
    // Pieces of the set before are gone.
    CHECK(count_files(pieces.path) == info.pieces.size() + 1);
    CHECK(read_pieces(pieces.path, to.path).about.at("step") == "7");
    for (const std::string& name : kNames) {
      CHECK(read_text_file(to / name) == read_text_file(from / name));
    }
  }
}

TEST_CASE("a missing, short or changed piece is named and nothing is touched") {
  Folder from, pieces, to;
  fill(from);
  const PiecesInfo info = write_pieces(from.path, kNames, pieces.path, 300);
  write_file_atomic(to / "a.bin", "from before");
  const std::string last = info.pieces.back().name, path = pieces / last;
  const std::string whole = read_text_file(path);
  const auto refused = [&] {
    CHECK_THROWS_WITH_AS(read_pieces(pieces.path, to.path), doctest::Contains(last.c_str()), Error);
    try {
      read_pieces(pieces.path, to.path);
    } catch (const Error& error) {
      CHECK(exit_code(error.code()) == 2);
    }
    CHECK(read_text_file(to / "a.bin") == "from before");
    CHECK(count_files(to.path) == 1);
  };
  std::string changed = whole;
  changed[whole.size() / 2] ^= 1;
  for (const std::string& bytes : {changed, whole.substr(1), whole + "x", std::string()}) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    refused();
  }
  fs::remove(path);
  refused();
  write_file_atomic(path, whole);
  CHECK_NOTHROW(read_pieces(pieces.path, to.path));
  CHECK(read_text_file(to / "a.bin") == letters(1000, 3));
}

TEST_CASE("a list of pieces that is no list of pieces is refused") {
  Folder from, pieces, to;
  CHECK_THROWS_WITH_AS(read_pieces(pieces.path, to.path), doctest::Contains("pieces.json"), Error);
  fill(from);
  write_pieces(from.path, kNames, pieces.path, 300);
  const std::string path = pieces / "pieces.json", whole = read_text_file(path);
  const auto refused_with = [&](const std::string& old_text, const std::string& new_text) {
    std::string text = whole;
    const size_t at = text.find(old_text);
    REQUIRE(at != std::string::npos);
    write_file_atomic(path, text.replace(at, old_text.size(), new_text));
    CHECK_THROWS_AS(read_pieces(pieces.path, to.path), Error);
  };
  refused_with("a.bin", "../a.bin");
  refused_with("a.bin", "/a.bin");
  refused_with("1000", "999");
  refused_with("1000", "-1");
  refused_with("1000", "18446744073709551615");
  refused_with("pieces 1", "pieces 2");
  refused_with("\"files\"", "\"fils\"");
  refused_with("{", "[");
  // A hash that fits no file, though every piece is whole.
  refused_with(whole.substr(whole.find("sha256") + 10, 8), "00000000");
  CHECK(count_files(to.path) == 0);
}
