#include "diffusion/conditions.h"

#include <torch/types.h>

namespace pangu::diffusion {
namespace {

constexpr at::Tensor Conditions::* kFields[] = {&Conditions::context,  &Conditions::context_mask,
                                                &Conditions::pooled,   &Conditions::size_numbers,
                                                &Conditions::guidance, &Conditions::extra_channels,
                                                &Conditions::pictures, &Conditions::token_ids};

// Applies one function to every defined tensor.
template <class Change>
Conditions changed(const Conditions& given, const Change& change) {
  Conditions result;
  for (const auto field : kFields) {
    if ((given.*field).defined()) result.*field = change(given.*field);
  }
  return result;
}

}  // namespace

Conditions Conditions::rows(const std::vector<int64_t>& numbers) const {
  const at::Tensor index = at::tensor(numbers, at::kLong);
  return changed(*this,
                 [&](const at::Tensor& t) { return t.index_select(0, index.to(t.device())); });
}

Conditions Conditions::to(const at::Device& device, at::ScalarType dtype) const {
  Conditions moved = changed(*this, [&](const at::Tensor& t) { return t.to(device, dtype); });
  if (context_mask.defined()) moved.context_mask = context_mask.to(device);
  if (size_numbers.defined()) moved.size_numbers = size_numbers.to(device);
  if (guidance.defined()) moved.guidance = guidance.to(device);
  if (token_ids.defined()) moved.token_ids = token_ids.to(device);
  return moved;
}

Conditions interleaved(const std::vector<Conditions>& each) {
  Conditions all;
  for (const auto field : kFields) {
    if (each.empty() || !(each.front().*field).defined()) continue;
    std::vector<at::Tensor> parts;
    for (const Conditions& one : each) parts.push_back(one.*field);
    all.*field = at::stack(parts, 1).flatten(0, 1);
  }
  return all;
}

}  // namespace pangu::diffusion
