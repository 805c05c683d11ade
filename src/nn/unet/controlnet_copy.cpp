#include "nn/unet/controlnet_copy.h"

#include <ATen/ATen.h>
#include <torch/types.h>

#include <algorithm>
#include <string_view>

#include "core/error.h"
#include "nn/weights.h"

namespace pangu::nn {
namespace {

constexpr std::string_view kZeroLayers[] = {"controlnet_cond_embedding.conv_out.",
                                            "controlnet_down_blocks.", "controlnet_mid_block."};

bool is_zero_at_first(const std::string& name) {
  return std::any_of(std::begin(kZeroLayers), std::end(kZeroLayers),
                     [&](std::string_view layer) { return name.starts_with(layer); });
}

}  // namespace

void begin_as_copy(ControlNetModel& control, const UNet2DConditionModel& unet) {
  const at::NoGradGuard no_grad;
  const TensorMap given = state_of(unet);
  for (auto& [name, tensor] : state_of(control)) {
    if (is_zero_at_first(name)) {
      tensor.zero_();
      continue;
    }
    const auto found = given.find(name);
    if (found == given.end()) continue;
    if (found->second.sizes() != tensor.sizes()) {
      throw bad_input("ControlNet of a UNet, tensor '" + name + "'",
                      c10::str("a shape of ", tensor.sizes()), c10::str(found->second.sizes()));
    }
    tensor.copy_(found->second);
  }
}

}  // namespace pangu::nn
