#include "app/eval/eval_files.h"

#include <torch/types.h>

#include <filesystem>
#include <iostream>

#include "app/home.h"
#include "app/table.h"
#include "core/error.h"
#include "tensors/pictures.h"

namespace pangu::app {

namespace fs = std::filesystem;

namespace {

constexpr size_t kMostSheetBytes = 300'000;  // of a picture in the repository
constexpr const char* kDataPlace = "out/mini/dataset";
constexpr const char* kInceptionPlace = "out/mini/weights/inception.safetensors";

std::string usual_place(const std::string& flag, const std::string& said, const std::string& place,
                        const std::string& what, const std::string& command) {
  if (!said.empty()) return said;
  const fs::path file = home() / place;
  if (fs::exists(file)) return file.string();
  throw bad_input(flag, what, "nothing, and no " + place, "`" + command + "` makes it");
}

}  // namespace

at::Tensor batch_of(const std::vector<image::Image>& pictures, size_t first, size_t end) {
  std::vector<at::Tensor> rows;
  for (size_t i = first; i < end; ++i) rows.push_back(tensors::pixels_of(pictures[i], -1, 1));
  return at::cat(rows);
}

void Bars::operator()(const std::string& phase, const Progress& progress) {
  if (quiet_) return;
  if (!bar_ || phase != phase_) {
    bar_.reset();
    bar_ = std::make_unique<ProgressBar>(phase);
    phase_ = phase;
  }
  (*bar_)(progress);
}

void print_tables(const std::vector<eval::Table>& tables) {
  for (const eval::Table& t : tables) {
    std::vector<Row> rows = {t.header};
    rows.insert(rows.end(), t.rows.begin(), t.rows.end());
    std::cout << t.title << "\n" << table(rows) << "\n";
  }
}

image::Bytes small_webp(const image::Image& picture) {
  for (const float quality : {88.f, 80.f, 70.f, 60.f, 45.f}) {
    image::Bytes bytes = image::encode_webp(picture, {false, quality});
    if (bytes.size() <= kMostSheetBytes) return bytes;
  }
  return image::encode_webp(picture, {false, 25});
}

std::string shown_path(const std::string& path) {
  const fs::path p(path);
  return p.is_absolute() ? (p / "").parent_path().filename().string() : path;
}

void check_folders_of(const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    const fs::path folder = fs::path(file).parent_path();
    if (!folder.empty() && !fs::is_directory(folder)) {
      throw bad_input("'" + file + "'", "a folder that exists", "'" + folder.string() + "'");
    }
  }
}

std::string feature_cache(const std::string& said) {
  fs::path cache = said.empty() ? fs::temp_directory_path() : fs::path(said);
  if (fs::is_directory(cache)) cache /= "pangu-draw-features.safetensors";
  return cache.string();
}

std::string usual_data(const std::string& said) {
  std::string command = "./pangu-draw data build --out ";
  command += kDataPlace;
  return usual_place("--data", said, kDataPlace, "a dataset folder", command);
}

std::string usual_inception(const std::string& said) {
  std::string command = ".venv/bin/python tools/export_inception.py --out ";
  command += kInceptionPlace;
  return usual_place("--inception", said, kInceptionPlace, "weights of the feature extractor",
                     command);
}

}  // namespace pangu::app
