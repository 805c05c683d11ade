// Names of noise streams, and tensors filled from them.
#include "diffusion/image_noise.h"

#include <ATen/ATen.h>

#include <bit>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/rng.h"

namespace pangu::diffusion {
namespace {

// Start noise takes the streams below 2^32, so that stream number and space number are one and the
// same.
constexpr uint64_t kMaxSpaces = uint64_t{1} << 32;

// The finaliser of splitmix64 (Steele et al. 2014): every bit of the input moves every bit of the
// output.
uint64_t scramble(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

uint64_t step_stream(double sigma, double sigma_next, uint64_t space) {
  uint64_t key = scramble(std::bit_cast<uint64_t>(sigma) + 1);
  key = scramble(key + std::bit_cast<uint64_t>(sigma_next));
  key = scramble(key + space);
  return key | kMaxSpaces;  // never a start stream
}

at::Tensor filled(const std::vector<uint64_t>& seeds, const std::vector<int64_t>& shape,
                  uint64_t stream) {
  std::vector<int64_t> batch_shape = {static_cast<int64_t>(seeds.size())};
  batch_shape.insert(batch_shape.end(), shape.begin(), shape.end());
  at::Tensor noise = at::empty(batch_shape, at::kFloat);
  const size_t count = seeds.empty() ? 0 : static_cast<size_t>(noise.numel()) / seeds.size();
  for (size_t i = 0; i < seeds.size(); ++i) {
    fill_normal(seeds[i], stream, 0, noise.mutable_data_ptr<float>() + i * count, count);
  }
  return noise;
}

}  // namespace

at::Tensor image_noise(const std::vector<uint64_t>& seeds, const std::vector<int64_t>& shape_chw,
                       uint64_t space) {
  return filled(seeds, shape_chw, space);
}

at::Tensor image_step_noise(const std::vector<uint64_t>& seeds,
                            const std::vector<int64_t>& shape_chw, double sigma, double sigma_next,
                            uint64_t space) {
  return filled(seeds, shape_chw, step_stream(sigma, sigma_next, space));
}

NoiseSource step_noise(std::vector<uint64_t> seeds, const Latents& like) {
  struct Part {
    std::vector<int64_t> shape_chw;
    at::TensorOptions options;
  };
  std::vector<Part> parts;
  for (const at::Tensor& part : like.parts) {
    if (part.dim() < 1 || part.size(0) != static_cast<int64_t>(seeds.size())) {
      throw Error(ErrorCode::kInternal, "noise: expected a batch of " +
                                            std::to_string(seeds.size()) + " images, one per seed");
    }
    parts.push_back({part.sizes().slice(1).vec(), part.options()});
  }
  return [seeds = std::move(seeds), parts = std::move(parts)](double sigma, double sigma_next) {
    Latents noise;
    for (size_t k = 0; k < parts.size(); ++k) {
      noise.parts.push_back(
          image_step_noise(seeds, parts[k].shape_chw, sigma, sigma_next, k).to(parts[k].options));
    }
    return noise;
  };
}

}  // namespace pangu::diffusion
