// Arithmetic of latents, part by part.
#include "diffusion/latents.h"

#include <ATen/ATen.h>

#include <string>
#include <utility>

#include "core/error.h"

namespace pangu::diffusion {
namespace {

void check_same_size(const Latents& a, const Latents& b) {
  if (a.size() == b.size()) return;
  throw Error(ErrorCode::kInternal, "latents: a tuple of " + std::to_string(a.size()) +
                                        " met one of " + std::to_string(b.size()));
}

}  // namespace

Latents::Latents(at::Tensor one) { parts.push_back(std::move(one)); }

const at::Tensor& Latents::one() const {
  if (parts.size() != 1) {
    throw Error(ErrorCode::kInternal,
                "latents: expected one latent space, found " + std::to_string(parts.size()));
  }
  return parts.front();
}

Latents operator+(const Latents& a, const Latents& b) {
  check_same_size(a, b);
  Latents sum;
  for (size_t k = 0; k < a.size(); ++k) sum.parts.push_back(at::add(a[k], b[k]));
  return sum;
}

Latents operator-(const Latents& a, const Latents& b) {
  check_same_size(a, b);
  Latents difference;
  for (size_t k = 0; k < a.size(); ++k) difference.parts.push_back(at::sub(a[k], b[k]));
  return difference;
}

Latents operator*(const Latents& a, double scale) {
  Latents product;
  for (const at::Tensor& part : a.parts) product.parts.push_back(at::mul(part, scale));
  return product;
}

Latents mix(const Latents& a, const Latents& b, double weight) {
  check_same_size(a, b);
  // 0 * b would not do: a member that is switched off must not pass on its infinities.
  if (weight == 0.0) return a;
  if (weight == 1.0) return b;
  return a * (1.0 - weight) + b * weight;
}

}  // namespace pangu::diffusion
