#include "pipeline/canvas.h"

#include <torch/nn.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "image/mask.h"
#include "image/resize.h"
#include "nn/autoencoder/pixel_space.h"
#include "pipeline/coop/bridges.h"
#include "tensors/pictures.h"

namespace pangu::pipeline {
namespace {

using tensors::picture_of;
using tensors::pixels_of;

constexpr double kByte = 255.0;
// A Gaussian is below 1e-3 of its peak here.
constexpr double kBlurRadiusSigmas = 3.7;

image::Image of_size(const image::Image& picture, const Request& request, image::Filter filter) {
  return image::fitted(image::composite_over(picture), *request.width, *request.height,
                       image::fit_from(request.resize_mode), filter);
}

// Luma of ITU-R 601, as Pillow's "L": [1,1,H,W] in [0,1].
at::Tensor grey_of(const image::Image& picture) {
  const at::Tensor rgb = pixels_of(picture, 0.0, 1.0);
  const at::Tensor weights = at::tensor({0.299, 0.587, 0.114}, at::kFloat).view({1, 3, 1, 1});
  return (rgb * weights).sum(1, /*keepdim=*/true);
}

at::Tensor blurred(const at::Tensor& plane, int sigma_px) {
  if (sigma_px == 0) return plane;
  const auto radius = static_cast<int64_t>(std::ceil(kBlurRadiusSigmas * sigma_px));
  const at::Tensor x = at::arange(-radius, radius + 1, at::kFloat);
  at::Tensor kernel = at::exp(x * x / (-2.0 * sigma_px * sigma_px));
  kernel = kernel / kernel.sum();
  namespace F = torch::nn::functional;
  const auto pad = [&](const at::Tensor& t, std::vector<int64_t> sides) {
    return F::pad(t, F::PadFuncOptions(sides).mode(torch::kReplicate));
  };
  const at::Tensor rows =
      at::conv2d(pad(plane, {radius, radius, 0, 0}), kernel.view({1, 1, 1, -1}));
  return at::conv2d(pad(rows, {0, 0, radius, radius}), kernel.view({1, 1, -1, 1})).clamp(0, 1);
}

image::Image mask_picture(const at::Tensor& plane) {
  return picture_of(plane[0].expand({3, -1, -1}) * 2 - 1);
}

void add_mask(const Model& model, const Request& request, const Pictures& pictures,
              const Watch& watch, Canvas& canvas_) {
  const int64_t h = *request.height / model.latents.downscale,
                w = *request.width / model.latents.downscale;
  const at::Tensor grey =
      grey_of(of_size(image::mask_of(*pictures.mask), request, image::Filter::kBilinear));
  const at::Tensor hard = (grey >= 0.5).to(at::kFloat);
  const at::Tensor soft = blurred(hard, request.mask_blur);
  canvas_.hard_mask = at::upsample_nearest2d(hard, {h, w});
  // Without blur each latent pixel takes the mask's pixel at its corner, as diffusers does.
  canvas_.mask = request.mask_blur == 0 ? canvas_.hard_mask : at::adaptive_avg_pool2d(soft, {h, w});
  canvas_.soft_mask = mask_picture(soft);
  if (model.denoising.extra_channels > 0) {
    const at::Tensor pixels = pixels_of(canvas_.original, -1.0, 1.0);
    canvas_.masked = model.latents.encode(pixels * (hard < 0.5), watch);
  }
}

// Lines on black at the request's size, [1,3,H,W]. Shrinking keeps them as bright as they were: a
// line of one pixel is a line of one pixel.
at::Tensor lines_of(const image::Image& picture, const Request& request) {
  const image::Image opaque = image::composite_over(picture);
  const auto [from, to] =
      image::placement_of(opaque.width, opaque.height, *request.width, *request.height,
                          image::fit_from(request.resize_mode));
  const double shrink =
      std::max({1.0, double(from.height) / to.height, double(from.width) / to.width});
  const at::Tensor lines = fitted_pixels(opaque, *request.height, *request.width,
                                         image::fit_from(request.resize_mode), image::Filter::kBox);
  return (lines * shrink).clamp(0.0, 1.0);
}

}  // namespace

at::Tensor fitted_pixels(const image::Image& picture, int64_t height, int64_t width, image::Fit fit,
                         image::Filter filter) {
  const auto [from, to] = image::placement_of(
      picture.width, picture.height, static_cast<int>(width), static_cast<int>(height), fit);
  const at::Tensor part =
      pixels_of(image::crop(picture, from.x, from.y, from.width, from.height), 0.0, 1.0);
  const at::Tensor inner = resampled(part, to.height, to.width, filter);
  return at::replication_pad2d(inner,
                               {to.x, width - to.x - to.width, to.y, height - to.y - to.height});
}

std::pair<int, int> size_near(const image::Image& picture, const RequestRules& rules) {
  if (!rules.sizes.empty()) return nearest_size(picture.width, picture.height, rules);
  const double shrink = std::min(
      1.0, static_cast<double>(rules.max_side_px) / std::max(picture.width, picture.height));
  const auto fitted = [&](int side) {
    const int unit = rules.size_multiple;
    const int least = (rules.min_side_px + unit - 1) / unit * unit;
    return std::max(least, static_cast<int>(side * shrink) / unit * unit);
  };
  return {fitted(picture.width), fitted(picture.height)};
}

at::Tensor picture_prompt(const Model& model, const Pictures& pictures) {
  if (model.quirks.reads_picture != pictures.prompt.has_value()) {
    throw bad_input(
        "model '" + model.name + "'",
        model.quirks.reads_picture ? "a picture to vary (--image-prompt)" : "a text prompt",
        model.quirks.reads_picture ? "none" : "a picture");
  }
  return model.quirks.reads_picture ? pixels_of(*pictures.prompt, 0.0, 1.0) : at::Tensor();
}

Canvas make_canvas(const Model& model, const Request& request, const Pictures& pictures,
                   const Watch& watch) {
  Canvas made;
  if (pictures.init) {
    if (!model.latents.encode) {
      throw bad_input("init image", "a model whose autoencoder can encode", "a decoder alone");
    }
    made.original = of_size(*pictures.init, request, image::Filter::kLanczos3);
    made.init = model.latents.encode(pixels_of(made.original, -1.0, 1.0), watch);
    if (pictures.mask) add_mask(model, request, pictures, watch, made);
  }
  if (model.denoising.extra_channels > 0 && !made.mask.defined()) {
    throw bad_input("model '" + model.name + "'", "an init image and a mask (--init-image, --mask)",
                    "none", "this is an inpainting model");
  }
  check_controls(model);
  const size_t wanted = model.denoising.control_channels > 0 ? 1 : model.denoising.controls.size();
  if (pictures.controls.size() != wanted) {
    throw bad_input("control pictures", std::to_string(wanted),
                    std::to_string(pictures.controls.size()),
                    model.denoising.control_channels > 0 ? "this model draws from a control picture"
                                                         : "one for each --controlnet");
  }
  if (model.denoising.control_channels > 0) {
    made.control =
        nn::control_channels(lines_of(pictures.controls.front(), request), model.latents.downscale);
    return made;
  }
  for (const image::Image& picture : pictures.controls) {
    made.hints.push_back(pixels_of(of_size(picture, request, image::Filter::kLanczos3), 0.0, 1.0));
  }
  return made;
}

diffusion::Denoiser keep_outside(diffusion::Denoiser denoise, at::Tensor z0, at::Tensor mask,
                                 double hides_at, double input_scale) {
  return [=](const diffusion::Latents& x, double sigma) {
    const at::Tensor keep = 1 - mask;
    diffusion::Latents seen = x;
    if (sigma == hides_at) {
      const at::Tensor noise = (x.one() - z0) / sigma;
      seen = x.one() * mask + noise * keep / input_scale;
    }
    return diffusion::Latents(denoise(seen, sigma).one() * mask + z0 * keep);
  };
}

image::Image composited(const image::Image& drawn, const Canvas& canvas) {
  image::Image mixed = drawn;
  for (size_t i = 0; i < mixed.pixels.size(); ++i) {
    const double m = canvas.soft_mask.pixels[i] / kByte;
    mixed.pixels[i] = static_cast<uint8_t>(
        std::lround(m * drawn.pixels[i] + (1.0 - m) * canvas.original.pixels[i]));
  }
  return mixed;
}

}  // namespace pangu::pipeline
