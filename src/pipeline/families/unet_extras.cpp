#include "pipeline/families/unet_extras.h"

#include <torch/types.h>

namespace pangu::pipeline {

nn::UNetExtras unet_extras_of(const diffusion::Conditions& conditions) {
  nn::UNetExtras extras;
  extras.context_mask = conditions.context_mask;
  extras.text_embeds = conditions.pooled;
  extras.time_ids = conditions.size_numbers;
  extras.guidance = conditions.guidance;
  return extras;
}

at::Tensor with_extra_channels(const at::Tensor& x, const diffusion::Conditions& conditions) {
  if (!conditions.extra_channels.defined()) return x;
  return at::cat({x, conditions.extra_channels}, 1).contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace pangu::pipeline
