#include "app/latent_look.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "image/resize.h"
#include "pipeline/families/autoencoders.h"
#include "tensors/pictures.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSide = 16, kKnots = 4;  // latent pixels, and independent values along a side
constexpr double kRidge = 1e-3;            // keeps the solution of nearly dependent channels small
constexpr int kMostSide = 512;             // px of a preview
// Of the variance of the decoder's picture, what a tiny autoencoder for these latents must explain:
// one for other latents explains none of it.
constexpr double kLeastExplained = 0.5;

// Smooth random values, which decoders were trained to expect more than white noise.
at::Tensor smooth_latents(int64_t channels) {
  // A generator of its own: the process's stays as it is.
  at::Generator generator = at::detail::createCPUGenerator(1);
  const at::Tensor knots = at::randn({1, channels, kKnots, kKnots}, generator);
  return at::upsample_bicubic2d(knots, std::vector<int64_t>{kSide, kSide}, /*align_corners=*/true);
}

// [n, C+1]: the values of every latent pixel and 1.
at::Tensor with_ones(const at::Tensor& latents) {
  const at::Tensor rows = latents.flatten(1).transpose(0, 1).to(at::kCPU, at::kFloat);
  return at::cat({rows, at::ones({rows.size(0), 1})}, 1);
}

// Least squares from latents [1,C,h,w] to their pixels [1,3,H,W].
at::Tensor fitted_colours(const at::Tensor& latents, const at::Tensor& pixels) {
  const at::Tensor small =
      at::adaptive_avg_pool2d(pixels, std::vector<int64_t>{latents.size(2), latents.size(3)});
  const at::Tensor x = with_ones(latents[0]);
  const at::Tensor y = small[0].flatten(1).transpose(0, 1);
  const at::Tensor normal =
      at::mm(x.t(), x) + kRidge * static_cast<double>(x.size(0)) * at::eye(x.size(1));
  return at::linalg_solve(normal, at::mm(x.t(), y));
}

// The share of the variance of `pixels` that `guess` explains; below 0 where it is worse than one
// grey.
double explained(const at::Tensor& pixels, const at::Tensor& guess) {
  const double variance = pixels.var().item<double>();
  if (!(variance > 0.0)) return 0.0;
  return 1.0 - (pixels - guess).square().mean().item<double>() / variance;
}

bool may_be_tiny_autoencoder(const fs::path& path) {
  if (!path.filename().string().starts_with("tae")) return false;
  std::error_code failed;
  if (fs::is_directory(path, failed)) return fs::exists(path / "config.json", failed);
  const std::string suffix = path.extension().string();
  return (suffix == ".safetensors" || suffix == ".pth") &&
         !path.stem().string().ends_with("_encoder");
}

}  // namespace

void LatentLook::add_folder(const fs::path& folder) {
  if (std::find(folders_.begin(), folders_.end(), folder) == folders_.end()) {
    folders_.push_back(folder);
  }
}

std::vector<pipeline::LatentCodec> LatentLook::tiny_autoencoders(
    const pipeline::Model& model) const {
  std::vector<fs::path> paths;
  for (const fs::path& folder : folders_) {
    std::error_code failed;
    for (const auto& entry : fs::directory_iterator(folder, failed)) {
      if (may_be_tiny_autoencoder(entry.path())) paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  pipeline::LoadOptions options;
  options.device = model.cost.device;
  options.dtype = "f32";
  std::vector<pipeline::LatentCodec> found;
  for (const fs::path& path : paths) {
    try {
      pipeline::LatentCodec tiny = pipeline::open_tiny_autoencoder(path.string(), options);
      const bool fits =
          tiny.channels == model.latents.channels && tiny.downscale == model.latents.downscale;
      if (fits) found.push_back(std::move(tiny));
    } catch (const Error&) {
      // Another file than its name says: previews do without it.
    }
  }
  return found;
}

void LatentLook::prepare(const pipeline::Model& model, const Watch& watch) {
  const std::string space = model.latents.space.text();
  if (ways_.contains(space)) return;
  const at::NoGradGuard no_grad;
  const at::Tensor latents = smooth_latents(model.latents.channels);
  const at::Tensor pixels = model.latents.decode(latents, watch).to(at::kCPU, at::kFloat);
  Way way;
  way.colours = fitted_colours(latents, pixels);
  double most = kLeastExplained;
  for (const pipeline::LatentCodec& tiny : tiny_autoencoders(model)) {
    try {
      tiny.decode(latents, watch);  // reads the weights
      const auto start = std::chrono::steady_clock::now();
      const at::Tensor guess = tiny.decode(latents, watch).to(at::kCPU, at::kFloat);
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      const double share = explained(pixels.clamp(-1, 1), guess.clamp(-1, 1));
      if (share < most) continue;
      most = share;
      way.tiny = tiny;
      way.seconds_a_pixel = taken.count() / static_cast<double>(kSide * kSide);
    } catch (const Error&) {
      // Half a file: previews do without it.
    }
  }
  ways_.emplace(space, std::move(way));
}

double LatentLook::expected_seconds(const pipeline::Model& model, const at::Tensor& latents) const {
  const auto way = ways_.find(model.latents.space.text());
  if (way == ways_.end()) return 0.0;
  return way->second.seconds_a_pixel * static_cast<double>(latents.size(-1) * latents.size(-2));
}

image::Image LatentLook::picture_of(const pipeline::Model& model, const at::Tensor& latents) const {
  const at::NoGradGuard no_grad;
  const Way& way = ways_.at(model.latents.space.text());
  if (!way.tiny) {
    const at::Tensor pixels = at::mm(with_ones(latents), way.colours);
    return tensors::picture_of(
        pixels.transpose(0, 1).reshape({3, latents.size(1), latents.size(2)}));
  }
  image::Image picture = tensors::picture_of(way.tiny->decode(latents.unsqueeze(0), {})[0]);
  const int side = std::max(picture.width, picture.height);
  if (side <= kMostSide) return picture;
  const auto smaller = [&](int length) { return std::max(1, length * kMostSide / side); };
  return image::resize(picture, smaller(picture.width), smaller(picture.height),
                       image::Filter::kBilinear);
}

bool LatentLook::has_tiny(const pipeline::Model& model) const {
  const auto way = ways_.find(model.latents.space.text());
  return way != ways_.end() && way->second.tiny.has_value();
}

std::vector<fs::path> tiny_autoencoder_folders(const std::vector<fs::path>& model_folders) {
  std::vector<fs::path> folders;
  for (const fs::path& folder : model_folders) folders.push_back(folder / "vae_approx");
  return folders;
}

}  // namespace pangu::app
