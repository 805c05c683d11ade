// Tests reading what a training wrote.
#include "eval/runs.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "core/error.h"

namespace pangu::eval {
namespace {

namespace fs = std::filesystem;

struct Folder {
  fs::path path = fs::temp_directory_path() / ("pangu-runs-test-" + std::to_string(getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((path / name).parent_path());
    std::ofstream(path / name) << text;
  }
};

TEST_CASE("a resumed run's repeated steps count once and a cut last line not at all") {
  const Folder folder;
  folder.write("structure/metrics.jsonl",
               "{\"step\":10,\"loss\":1.0,\"seconds\":5,\"samples_per_second\":40}\n"
               "{\"step\":20,\"loss\":0.5,\"seconds\":10,\"samples_per_second\":44}\n"
               "{\"step\":20,\"loss\":0.25,\"seconds\":11,\"samples_per_second\":42}\n"
               "{\"step\":30,\"lo");
  folder.write("structure/loss_by_t.json", "[{\"t_index\":500,\"sigma\":1.6,\"loss\":0.1}]");
  folder.write("texture/loss_by_t.json", "[]");
  folder.write("dataset/other.txt", "");
  const auto runs = read_runs(folder.path.string());
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].name == "structure");
  CHECK((runs[0].curve == std::vector<LossOf>{{10, 1.0, 5}, {20, 0.25, 11}}));
  CHECK((runs[0].by_sigma == std::vector<LossAt>{{500, 1.6, 0.1}}));
  CHECK(runs[0].samples_per_second == 42);
  CHECK(runs[1].name == "texture");
}

TEST_CASE("a file that is not understood is named, with its line") {
  const Folder folder;
  CHECK_THROWS_WITH_AS(read_runs(folder.path.string()), doctest::Contains("--runs"), Error);
  CHECK_THROWS_WITH_AS(read_runs(folder.path.string() + "/no"), doctest::Contains("--runs"), Error);
  folder.write("a/metrics.jsonl",
               "{\"step\":1,\"loss\":1}\n{\"loss\":2}\n{\"step\":3,\"loss\":1}\n");
  CHECK_THROWS_WITH_AS(read_runs(folder.path.string()), doctest::Contains("line 2, key 'step'"),
                       Error);
  folder.write("a/metrics.jsonl", "");
  folder.write("a/loss_by_t.json", "{\"t_index\":1}");
  CHECK_THROWS_WITH_AS(read_runs(folder.path.string()), doctest::Contains("loss_by_t.json"), Error);
}

}  // namespace
}  // namespace pangu::eval
