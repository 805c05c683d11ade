#include "core/file_options.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

namespace pangu {
namespace {

using Options = std::vector<std::pair<std::string, std::string>>;

TEST_CASE("A file is followed by its options, and a value may hold commas") {
  const FileOptions found = file_options_from("edges.png,weight=0.5,prompt=a cat, a hat,to=1");
  CHECK(found.file == "edges.png");
  CHECK(found.options == Options{{"weight", "0.5"}, {"prompt", "a cat, a hat"}, {"to", "1"}});
  CHECK(file_options_from("edges.png").options.empty());
  CHECK(file_options_from("").file.empty());
}

TEST_CASE("A file's name may hold commas, and even what looks like an option if it is there") {
  CHECK(file_options_from("cats, dogs.png,weight=2").file == "cats, dogs.png");
  CHECK(file_options_from("cats, dogs.png").file == "cats, dogs.png");
  CHECK(file_options_from("a,B=1.png").file == "a,B=1.png");
  const auto path = std::filesystem::temp_directory_path() / "pangu file,weight=0.5";
  std::ofstream(path) << "x";
  const FileOptions found = file_options_from(path.string());
  const FileOptions more = file_options_from(path.string() + ",weight=2");
  std::filesystem::remove(path);
  CHECK(more.file == path.string());
  CHECK(more.options == Options{{"weight", "2"}});
  CHECK(found.file == path.string());
  CHECK(found.options.empty());
  CHECK(!has_lost_comma(file_options_from("x.png,weight=2")));
  CHECK(has_lost_comma(file_options_from("x.png,heavy,weight=2")));
}

}  // namespace
}  // namespace pangu
