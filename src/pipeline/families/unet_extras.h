// A family's conditions as a UNet takes them.
#pragma once
#include "diffusion/conditions.h"
#include "nn/unet/unet_embeddings.h"

namespace pangu::pipeline {

// All but the class labels, which UNet2DConditionModel::class_labels_of gives.
nn::UNetExtras unet_extras_of(const diffusion::Conditions& conditions);

// The sample with Conditions::extra_channels behind its own, channels-last; as it is without them.
at::Tensor with_extra_channels(const at::Tensor& x, const diffusion::Conditions& conditions);

}  // namespace pangu::pipeline
