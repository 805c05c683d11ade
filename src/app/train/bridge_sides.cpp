#include "app/train/bridge_sides.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "app/home.h"
#include "core/error.h"
#include "pipeline/families/autoencoders.h"
#include "pipeline/model.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

std::vector<data::Item> loose_pictures(const std::string& folder) {
  std::vector<data::Item> items;
  std::error_code failed;
  for (const auto& entry : fs::recursive_directory_iterator(
           folder, fs::directory_options::skip_permission_denied, failed)) {
    std::string extension = entry.path().extension().string();
    for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const bool picture =
        extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".webp";
    if (!picture || !entry.is_regular_file(failed)) continue;
    data::Item item;
    item.id = entry.path().string();
    item.bytes.path = item.id;
    items.push_back(std::move(item));
  }
  std::sort(items.begin(), items.end(), [](const auto& x, const auto& y) { return x.id < y.id; });
  return items;
}

}  // namespace

train::BridgeSide open_bridge_side(const std::string& path, int size_px,
                                   const pipeline::LoadOptions& options) {
  train::BridgeSide side;
  const fs::path where = model_path(path);
  const bool alone = fs::is_directory(where) && !fs::exists(where / "model_index.json") &&
                     fs::exists(where / "config.json");
  if (alone) {
    const auto [component, what] = pipeline::open_autoencoder(where.string());
    const auto shared = std::make_shared<pipeline::Component>(component);
    const pipeline::Placement place = pipeline::vae_placement_of(options, /*follows=*/false);
    const pipeline::LatentCodec autoencoder =
        what.part == io::Part::kTinyVae
            ? pipeline::tiny_autoencoder(shared, place, options.vae_tile)
            : pipeline::kl_autoencoder(shared, 1.0, place, options.vae_tile);
    side.name = where.filename().string();
    side.space = autoencoder.space.text();
    side.encoder = autoencoder.space.encoder;
    side.channels = autoencoder.channels;
    side.downscale = autoencoder.downscale;
    side.decode = [decode = autoencoder.decode](const at::Tensor& z) { return decode(z, {}); };
    side.encode = [encode = autoencoder.encode](const at::Tensor& x) { return encode(x, {}).mean; };
  } else {
    const auto model =
        std::make_shared<const pipeline::Model>(pipeline::load_model(where.string(), options));
    if (!model->latents.decode || !model->latents.encode) {
      throw bad_input("model '" + model->name + "'", "an autoencoder of both halves",
                      model->latents.decode ? "no encoder" : "no decoder");
    }
    side.name = model->name;
    side.space = model->latents.space.text();
    side.encoder = model->latents.space.encoder;
    side.channels = model->latents.channels;
    side.downscale = model->latents.downscale;
    const auto& defaults = model->rules.defaults;
    side.size_px =
        static_cast<int>(std::lround(std::sqrt(double(*defaults.width) * *defaults.height)));
    side.decode = [model](const at::Tensor& z) { return model->latents.decode(z, {}); };
    side.encode = [model](const at::Tensor& x) { return model->latents.encode(x, {}).mean; };
  }
  if (size_px > 0) side.size_px = size_px;
  if (side.size_px > 0) side.size_px = train::bridge_size_px(side.size_px, side.downscale);
  return side;
}

std::vector<data::Item> bridge_pictures(const std::string& path) {
  if (!fs::exists(path)) {
    throw bad_input("--images", "a folder of pictures, or a dataset", "'" + path + "'");
  }
  std::vector<data::Item> items;
  const bool dataset = !fs::is_directory(path) || fs::exists(fs::path(path) / "manifest.jsonl");
  if (!dataset) items = loose_pictures(path);
  if (items.empty()) {
    data::Report report;
    items = data::open_dataset(path, report);
  }
  return items;
}

}  // namespace pangu::app
