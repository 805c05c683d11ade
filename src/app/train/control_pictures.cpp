#include "app/train/control_pictures.h"

#include <torch/types.h>

#include <filesystem>
#include <map>

#include "core/error.h"
#include "data/dataset.h"
#include "data/folder_files.h"
#include "image/canny.h"
#include "image/mask.h"
#include "tensors/pictures.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

// [3,H,W] u8, of the size of `picture`.
at::Tensor control_levels(const image::Image& control, const data::TrainingPicture& picture) {
  return tensors::levels_of(data::render_picture(control, picture.width_px, picture.height_px))
      .permute({2, 0, 1})
      .contiguous();
}

image::Image whole_picture(const data::TrainingPicture& picture) {
  data::Report report;
  if (auto drawn = picture.draw(report)) return *std::move(drawn);
  throw bad_input("picture", "one that can be read", report.text());
}

at::Tensor edge_levels(const data::TrainingPicture& picture) {
  const image::Image seen =
      data::render_picture(whole_picture(picture), picture.width_px, picture.height_px);
  return tensors::levels_of(image::canny(seen)).permute({2, 0, 1}).contiguous();
}

// Files by their names without suffix, with their folders and without.
std::map<std::string, std::string> files_by_name(const std::vector<std::string>& folders) {
  std::map<std::string, std::string> files;
  data::Report report;
  for (const std::string& folder : folders) {
    for (const std::string& name : data::files_under(folder, report)) {
      const fs::path inside = fs::path(name).replace_extension();
      const std::string file = (fs::path(folder) / name).string();
      files.emplace(inside.generic_string(), file);
      files.emplace(inside.filename().string(), file);
    }
  }
  return files;
}

at::Tensor levels_in_file(const std::map<std::string, std::string>& files,
                          const data::TrainingPicture& picture) {
  const std::string id = picture.item ? picture.item->id : "";
  auto found = files.find(id);
  if (found == files.end()) found = files.find(fs::path(id).filename().string());
  if (id.empty() || found == files.end()) {
    throw bad_input("conditioning_data_dir", "a control picture for every picture",
                    id.empty() ? "none for a composed scene" : "none for '" + id + "'");
  }
  data::Item control;
  control.id = found->second;
  control.bytes.path = found->second;
  const image::Image read = data::load_image(control);
  return control_levels(read.channels == 4 ? image::without_alpha(read) : read, picture);
}

}  // namespace

std::function<at::Tensor(const data::TrainingPicture& picture)> control_pictures(
    const train::TrainConfig& config) {
  if (!config.control.empty()) return edge_levels;
  return [files = files_by_name(config.conditioning_data_dir)](
             const data::TrainingPicture& picture) { return levels_in_file(files, picture); };
}

}  // namespace pangu::app
