#include "app/serve/colour_map.h"

#include <torch/types.h>

#include "tensors/pictures.h"

namespace pangu::app {
namespace {

constexpr int64_t kSide = 16, kKnots = 4;  // latent pixels, and independent values along a side
constexpr double kRidge = 1e-3;            // keeps the solution of nearly dependent channels small

// [n, C+1]: the values of every latent pixel and 1.
at::Tensor with_ones(const at::Tensor& latents) {
  const at::Tensor rows = latents.flatten(1).transpose(0, 1).to(at::kCPU, at::kFloat);
  return at::cat({rows, at::ones({rows.size(0), 1})}, 1);
}

}  // namespace

ColourMap fitted_colours(const pipeline::LatentCodec& codec, const Watch& watch) {
  const at::NoGradGuard no_grad;
  // A generator of its own: the process's stays as it is.
  at::Generator generator = at::detail::createCPUGenerator(1);
  const at::Tensor knots = at::randn({1, codec.channels, kKnots, kKnots}, generator);
  const std::vector<int64_t> size = {kSide, kSide};
  const at::Tensor latents = at::upsample_bicubic2d(knots, size, /*align_corners=*/true);
  const at::Tensor pixels =
      at::adaptive_avg_pool2d(codec.decode(latents, watch).to(at::kCPU, at::kFloat), size);
  const at::Tensor x = with_ones(latents[0]);
  const at::Tensor y = pixels[0].flatten(1).transpose(0, 1);
  const at::Tensor normal =
      at::mm(x.t(), x) + kRidge * static_cast<double>(x.size(0)) * at::eye(x.size(1));
  return {at::linalg_solve(normal, at::mm(x.t(), y))};
}

image::Image coloured(const ColourMap& map, const at::Tensor& latents) {
  const at::NoGradGuard no_grad;
  const at::Tensor pixels = at::mm(with_ones(latents), map.weights);
  return tensors::picture_of(pixels.transpose(0, 1).reshape({3, latents.size(1), latents.size(2)}));
}

}  // namespace pangu::app
