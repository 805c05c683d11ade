#include "pipeline/families/unet_extras.h"

namespace pangu::pipeline {

nn::UNetExtras unet_extras_of(const diffusion::Conditions& conditions) {
  nn::UNetExtras extras;
  extras.context_mask = conditions.context_mask;
  extras.text_embeds = conditions.pooled;
  extras.time_ids = conditions.size_numbers;
  extras.guidance = conditions.guidance;
  return extras;
}

}  // namespace pangu::pipeline
