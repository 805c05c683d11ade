#include "pipeline/upscaler.h"

#include <ATen/ATen.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "io/families/families.h"
#include "io/upscaler_names.h"
#include "nn/upscaler/rrdb_net.h"
#include "pipeline/coop/bridges.h"
#include "pipeline/families/networks.h"
#include "pipeline/tiles.h"
#include "tensors/pictures.h"

namespace pangu::pipeline {
namespace {

// Input pixels of a tile and of the overlap of two: a tile's last layers hold about 64 channels at
// four times the side, 150 MB.
constexpr int64_t kUpscaleTile = 192, kUpscaleOverlap = 32;
constexpr int kMostPasses = 3;

std::shared_ptr<const Component> rrdb_component(const std::string& path) {
  auto component = std::make_shared<Component>();
  component->origin = path;
  component->files = std::make_shared<std::vector<io::WeightsFile>>();
  component->files->push_back(io::WeightsFile::open(path));
  const io::TensorViews& tensors = component->files->front().tensors();
  const io::Recognised what = io::recognise(tensors);
  if (what.part != io::Part::kUpscaler) {
    throw bad_input("'" + path + "'", "an ESRGAN upscaler (RRDBNet)", what.human_name);
  }
  std::vector<std::string> names;
  for (const auto& [name, view] : tensors) names.push_back(name);
  for (const auto& [name, own] : io::rrdb_names(names, "'" + path + "'")) {
    component->tensors[own] = {tensors.at(name)};
  }
  return component;
}

}  // namespace

Upscaler open_upscaler(const std::string& path, const LoadOptions& options) {
  const std::shared_ptr<const Component> component = rrdb_component(path);
  const nn::RrdbConfig config = nn::rrdb_config_from_shapes(shapes_of(*component));
  Placement place = placement_of(options);
  place.dtype = at::kFloat;
  const auto network = std::make_shared<Lazy<nn::RrdbNet>>([=](const Watch& watch) {
    return make_packed_network<nn::RrdbNet>(config, *component, place, tensors_of(*component),
                                            watch);
  });
  Upscaler upscaler;
  upscaler.name = std::filesystem::path(path).stem().string();
  upscaler.factor = static_cast<int>(config.factor());
  upscaler.enlarge = [=](const at::Tensor& pixels, const Watch& watch) {
    const nn::RrdbNet& net = network->get(watch);
    return in_tiles(
        [&](const at::Tensor& tile) {
          return net.forward(as_input(tile, place), watch).to(at::kFloat).cpu();
        },
        pixels, {kUpscaleTile, kUpscaleOverlap, config.factor(), 1});
  };
  return upscaler;
}

at::Tensor enlarged(const at::Tensor& pixels, int64_t height, int64_t width,
                    const std::optional<Upscaler>& upscaler, const Watch& watch) {
  at::Tensor x = pixels;
  const auto small = [&] { return x.size(2) < height || x.size(3) < width; };
  // A network of factor 1 sharpens or cleans, once.
  for (int pass = 0; upscaler && pass < kMostPasses; ++pass) {
    if (pass > 0 && (upscaler->factor == 1 || !small())) break;
    x = upscaler->enlarge(x, watch).clamp(0.0, 1.0);
  }
  return resampled(x, height, width, image::Filter::kLanczos3).clamp(0.0, 1.0);
}

image::Image enlarged(const image::Image& picture, double scale,
                      const std::optional<Upscaler>& upscaler, const Watch& watch) {
  const auto side = [&](int old) { return std::max<int64_t>(1, std::llround(old * scale)); };
  const at::Tensor pixels = enlarged(tensors::pixels_of(picture, 0.0, 1.0), side(picture.height),
                                     side(picture.width), upscaler, watch);
  return tensors::picture_of(pixels[0] * 2 - 1);
}

}  // namespace pangu::pipeline
