#include "io/file_series.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <set>

#include "core/error.h"
#include "core/testing.h"
#include "io/mapped_file.h"

using namespace pangu;
using namespace pangu::io;
namespace fs = std::filesystem;

namespace {

std::optional<std::string> word(const std::string& name, int index) {
  if (name == "seed") return std::to_string(7 + index);
  if (name == "prompt") return "a cat / dog: \"big\" 一只猫...";
  if (name == "up") return "../x";
  return {};
}

FileSeries series(const std::string& pattern, int count = 1, bool overwrite = false) {
  return FileSeries({pattern, count, overwrite, word, "seed, prompt, up"});
}

std::string write(FileSeries& files, int index, std::string_view text = "x") {
  return fs::path(files.write(index, std::as_bytes(std::span(text)))).filename().string();
}

}  // namespace

TEST_CASE("a file that is there is never replaced: the name counts up") {
  const TestFolder folder;
  folder.write("a.png", std::string_view("old"));
  auto first = series(folder.file("a.png"));
  CHECK(write(first, 0) == "a-1.png");
  CHECK(first.stepped_aside());
  auto second = series(folder.file("a.png"));
  CHECK(write(second, 0) == "a-2.png");
  CHECK(read_text_file(folder.file("a.png")) == "old");
  auto over = series(folder.file("a.png"), 1, true);
  CHECK(write(over, 0, "new") == "a.png");
  CHECK_FALSE(over.stepped_aside());
  CHECK(read_text_file(folder.file("a.png")) == "new");
}

TEST_CASE("several files of one name are numbered with zeros in front, and go on behind others") {
  const TestFolder folder;
  auto files = series(folder.file("a.png"), 12);
  CHECK(write(files, 0) == "a-00.png");
  CHECK(write(files, 11) == "a-11.png");
  auto again = series(folder.file("a.png"), 2);
  CHECK(write(again, 0) == "a-0.png");
  auto third = series(folder.file("a.png"), 2);
  CHECK(write(third, 0) == "a-1.png");
  CHECK(write(third, 1) == "a-2.png");
}

TEST_CASE("words in braces stand for what the caller says, made fit for a name") {
  const TestFolder folder;
  auto files = series(folder.file("new/{seed} {prompt}.png"), 2);
  files.try_place();
  CHECK(write(files, 1) == "8 a cat _ dog_ _big_ 一只猫.png");
  CHECK(write(files, 1) == "8 a cat _ dog_ _big_ 一只猫-1.png");
  auto up = series(folder.file("{up}.png"));
  CHECK(write(up, 0) == "_._x.png");
  CHECK_THROWS_WITH_AS(series("{sed}.png"), doctest::Contains("seed"), Error);
  auto plain = series(folder.file("{ }{}{.png"));
  CHECK(write(plain, 0) == "{ }{}{.png");
}

TEST_CASE("a number is one above those of the files that begin alike") {
  const TestFolder folder;
  auto files = series(folder.file("p-{number}-{seed}.png"), 3);
  CHECK(write(files, 0) == "p-0001-7.png");
  CHECK(write(files, 1) == "p-0002-8.png");
  folder.write("p-0041-1.jpg", std::string_view("x"));
  folder.write("q-0099-1.jpg", std::string_view("x"));
  CHECK(write(files, 2) == "p-0042-9.png");
}

TEST_CASE(
    "where any two of several names are alike all are numbered, so that none replaces another") {
  const TestFolder folder;
  const auto prompt = [](const std::string& name, int index) -> std::optional<std::string> {
    if (name != "prompt") return {};
    return index == 1 ? "dog" : "cat";
  };
  FileSeries files({folder.file("{prompt}.png"), 3, /*overwrite=*/true, prompt, "prompt"});
  CHECK(write(files, 0) == "cat-0.png");
  CHECK(write(files, 1) == "dog-1.png");
  CHECK(write(files, 2) == "cat-2.png");
}

TEST_CASE("a place that takes no file is told before anything is made") {
  const TestFolder folder;
  const std::string file = folder.write("file", std::string_view("x"));
  CHECK_THROWS_AS(series(file + "/a.png").try_place(), Error);
  CHECK_THROWS_AS(series("/proc/no/a.png").try_place(), Error);
  CHECK_THROWS_AS(series("/proc/a.png").try_place(), Error);
  fs::create_directories(folder.file("b.png"));
  CHECK_THROWS_AS(series(folder.file("b.png")).try_place(), Error);
  CHECK_NOTHROW(series(folder.file("c/d/a.png")).try_place());
  CHECK(fs::is_empty(folder.file("c/d")));
}

TEST_CASE("two series that write to one place at once get names of their own") {
  const TestFolder folder;
  auto one = series(folder.file("a-{number}.png"), 2),
       other = series(folder.file("a-{number}.png"), 2);
  std::set<std::string> names;
  for (int i = 0; i < 2; ++i) {
    names.insert(write(one, i));
    names.insert(write(other, i));
  }
  CHECK(names.size() == 4);
}
