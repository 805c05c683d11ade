#include "app/home.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "core/error.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

// A home with the models mini and outlines, and another folder with the file other.safetensors.
struct TwoFolders {
  fs::path home = fs::temp_directory_path() / "pangu_home_test";
  TwoFolders() {
    for (const char* model : {"mini", "outlines"}) {
      fs::create_directories(home / "models" / model);
      std::ofstream(home / "models" / model / "model_index.json") << "{}";
    }
    fs::create_directories(home / "models" / "tokenizers");
    fs::create_directories(home / "more");
    std::ofstream(home / "more" / "other.safetensors") << "";
    setenv("PANGU_HOME", home.c_str(), 1);
    setenv("PANGU_MODELS", (home / "more").c_str(), 1);
  }
  ~TwoFolders() {
    unsetenv("PANGU_HOME");
    unsetenv("PANGU_MODELS");
    fs::remove_all(home);
  }
};

TEST_CASE("A model is a path, a path of the installation, or a name in a models folder") {
  const TwoFolders folders;
  const fs::path models = folders.home / "models";
  CHECK(model_path("") == models / "mini");
  CHECK(model_path("models/outlines") == models / "outlines");
  CHECK(model_path("outlines") == models / "outlines");
  CHECK(model_path("other") == folders.home / "more/other.safetensors");
  CHECK(model_path("other.safetensors") == folders.home / "more/other.safetensors");
  CHECK(model_path((models / "outlines").string()) == models / "outlines");
}

TEST_CASE("A folder of other things does not hide a model of its name") {
  const TwoFolders folders;
  const fs::path before = fs::current_path();
  fs::create_directories(folders.home / "work" / "outlines");
  fs::current_path(folders.home / "work");
  CHECK(model_path("outlines") == folders.home / "models" / "outlines");
  CHECK(model_path("./outlines") == "./outlines");
  std::ofstream("outlines/model_index.json") << "{}";
  CHECK(model_path("outlines") == "outlines");
  fs::current_path(before);
}

TEST_CASE("A model that is not there is called that, with the nearest names") {
  const TwoFolders folders;
  const std::vector<std::string> names = model_names();  // perhaps with those of ./models
  for (const char* name : {"outlines", "mini", "other"}) {
    CHECK(std::count(names.begin(), names.end(), name) == 1);
  }
  CHECK(std::count(names.begin(), names.end(), "tokenizers") == 0);
  CHECK_THROWS_WITH_AS(model_path("minni"),
                       doctest::Contains("found nothing at 'minni'. Hint: did you mean 'mini'?"),
                       Error);
  CHECK_THROWS_WITH_AS(model_path("sdxl"), doctest::Contains("known by name are "), Error);
}

}  // namespace
}  // namespace pangu::app
