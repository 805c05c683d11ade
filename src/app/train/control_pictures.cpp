#include "app/train/control_pictures.h"

#include <torch/types.h>

#include <filesystem>
#include <map>

#include "core/error.h"
#include "data/dataset.h"
#include "data/folder_files.h"
#include "image/canny.h"
#include "image/mask.h"
#include "image/resize.h"
#include "tensors/pictures.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr double kWhiteLevel = 255;

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

// key: of the configuration, what: of each picture; for messages.
image::Image image_in_file(const std::map<std::string, std::string>& files,
                           const data::TrainingPicture& picture, const char* key,
                           const char* what) {
  const std::string id = picture.item ? picture.item->id : "";
  auto found = files.find(id);
  if (found == files.end()) found = files.find(fs::path(id).filename().string());
  if (id.empty() || found == files.end()) {
    throw bad_input(key, std::string(what) + " for every picture",
                    id.empty() ? "none for a composed scene" : "none for '" + id + "'");
  }
  data::Item item;
  item.id = found->second;
  item.bytes.path = found->second;
  return data::load_image(item);
}

at::Tensor levels_in_file(const std::map<std::string, std::string>& files,
                          const data::TrainingPicture& picture) {
  const image::Image read =
      image_in_file(files, picture, "conditioning_data_dir", "a control picture");
  return control_levels(read.channels == 4 ? image::without_alpha(read) : read, picture);
}

at::Tensor mask_in_file(const std::map<std::string, std::string>& files,
                        const data::TrainingPicture& picture) {
  const image::Image mask =
      image::mask_of(image_in_file(files, picture, "mask_data_dir", "a mask"));
  const bool is_cutout = picture.item->has_alpha && !picture.is_masked;
  const int width = picture.width_px, height = picture.height_px;
  const image::Image fitted =
      is_cutout ? image::contain(mask, width, height, {0, 0, 0}, image::Filter::kBilinear)
                : image::cover(mask, width, height, image::Filter::kBilinear);
  // Luma of ITU-R 601, as drawing takes it (pipeline/canvas.cpp).
  const at::Tensor rgb = tensors::levels_of(fitted).to(at::kFloat);
  const at::Tensor luma = rgb.matmul(at::tensor({0.299F, 0.587F, 0.114F}));
  return (luma >= kWhiteLevel / 2).to(at::kByte);
}

}  // namespace

std::function<at::Tensor(const data::TrainingPicture& picture)> control_pictures(
    const train::TrainConfig& config) {
  if (!config.control.empty()) return edge_levels;
  return [files = files_by_name(config.conditioning_data_dir)](
             const data::TrainingPicture& picture) { return levels_in_file(files, picture); };
}

std::function<at::Tensor(const data::TrainingPicture& picture)> mask_pictures(
    const train::TrainConfig& config) {
  return [files = files_by_name(config.mask_data_dir)](const data::TrainingPicture& picture) {
    return mask_in_file(files, picture);
  };
}

}  // namespace pangu::app
