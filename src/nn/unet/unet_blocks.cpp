// Residual, down, middle and up blocks of the UNet.
#include "nn/unet/unet_blocks.h"

#include <ATen/ATen.h>

#include "nn/recompute.h"

namespace pangu::nn {
namespace {

torch::nn::GroupNorm group_norm_of(int64_t groups, int64_t channels, double eps) {
  return torch::nn::GroupNorm(torch::nn::GroupNormOptions(groups, channels).eps(eps));
}

// Registers a list with one child that has one convolution: "downsamplers.0.conv",
// "upsamplers.0.conv".
void register_sampler(torch::nn::Module& block, const char* list_name, Conv2d& sampler) {
  auto child = std::make_shared<torch::nn::Module>("Sampler2D");
  child->register_module("conv", sampler);
  torch::nn::ModuleList list;
  list->push_back(child);
  block.register_module(list_name, list);
}

// Builds and registers `attentions` and `resnets` (in diffusers' order).
void build_layers(torch::nn::Module& block, const BlockShape& shape, size_t attention_count,
                  std::vector<ResnetBlock2D>& resnets,
                  std::vector<Transformer2DModel>& attentions) {
  if (shape.transformer) {
    torch::nn::ModuleList list;
    for (size_t i = 0; i < attention_count; ++i) {
      TransformerShape transformer = *shape.transformer;
      if (!shape.depths.empty()) transformer.depth = shape.depths[i];
      attentions.emplace_back(transformer);
      list->push_back(attentions.back());
    }
    block.register_module("attentions", list);
  }
  torch::nn::ModuleList list;
  for (const ResnetShape& resnet : shape.resnets) {
    resnets.emplace_back(resnet);
    list->push_back(resnets.back());
  }
  block.register_module("resnets", list);
}

// Returns the block's output; UNetConditions say whether it is computed again for the gradient.
at::Tensor run_resnet(const ResnetBlock2D& resnet, const at::Tensor& x,
                      const UNetConditions& conditions) {
  const auto part = [resnet](const std::vector<at::Tensor>& inputs) {
    return ResnetBlock2D(resnet)->forward(inputs[0], inputs[1]);
  };
  const std::vector<at::Tensor> inputs = {x, conditions.time_act};
  return conditions.recomputes ? recomputed(part, inputs) : part(inputs);
}

}  // namespace

ResnetBlock2DImpl::ResnetBlock2DImpl(const ResnetShape& s) {
  norm1_ = register_module("norm1", group_norm_of(s.groups, s.in, s.eps));
  conv1_ = register_module("conv1", same_conv2d(s.in, s.out, 3));
  time_ = register_module("time_emb_proj", Linear(s.time_dim, s.out));
  norm2_ = register_module("norm2", group_norm_of(s.groups, s.out, s.eps));
  conv2_ = register_module("conv2", same_conv2d(s.out, s.out, 3));
  if (s.in != s.out) shortcut_ = register_module("conv_shortcut", same_conv2d(s.in, s.out, 1));
}

at::Tensor ResnetBlock2DImpl::forward(const at::Tensor& x, const at::Tensor& time_act) {
  const at::Tensor h = conv1_->forward(x, {.group_norm = norm1_, .activation = Activation::kSilu});
  return conv2_->forward(
      h, {.group_norm = norm2_, .activation = Activation::kSilu, .shift = time_(time_act)},
      {.residual = shortcut_ ? shortcut_(x) : x});
}

DownBlockImpl::DownBlockImpl(const BlockShape& shape) {
  build_layers(*this, shape, shape.resnets.size(), resnets_, attentions_);
  if (shape.resamples) {
    const int64_t channels = shape.resnets.back().out;
    downsampler_ = same_conv2d(channels, channels, 3, 2);
    register_sampler(*this, "downsamplers", downsampler_);
  }
}

at::Tensor DownBlockImpl::forward(at::Tensor x, const UNetConditions& conditions,
                                  std::vector<at::Tensor>& skips, const Scope& scope,
                                  size_t most_skips) {
  for (size_t i = 0; i < resnets_.size(); ++i) {
    x = scope.in("resnets", i).out(run_resnet(resnets_[i], x, conditions));
    if (!attentions_.empty()) {
      x = attentions_[i]->forward(x, conditions, scope.in("attentions", i));
    }
    skips.push_back(x);
    if (skips.size() == most_skips) return x;
  }
  if (downsampler_) {
    x = scope.in("downsamplers", 0).out(downsampler_(x));
    skips.push_back(x);
  }
  return x;
}

MidBlockImpl::MidBlockImpl(const BlockShape& shape) {
  build_layers(*this, shape, shape.resnets.size() - 1, resnets_, attentions_);
}

at::Tensor MidBlockImpl::forward(at::Tensor x, const UNetConditions& conditions,
                                 const Scope& scope) {
  x = scope.in("resnets", 0).out(run_resnet(resnets_[0], x, conditions));
  for (size_t i = 0; i < attentions_.size(); ++i) {
    x = attentions_[i]->forward(x, conditions, scope.in("attentions", i));
    x = scope.in("resnets", i + 1).out(run_resnet(resnets_[i + 1], x, conditions));
  }
  return x;
}

UpBlockImpl::UpBlockImpl(const BlockShape& shape) {
  build_layers(*this, shape, shape.resnets.size(), resnets_, attentions_);
  if (shape.resamples) {
    const int64_t channels = shape.resnets.back().out;
    upsampler_ = enlarging_conv2d(channels);
    register_sampler(*this, "upsamplers", upsampler_);
  }
}

at::Tensor UpBlockImpl::forward(at::Tensor x, const UNetConditions& conditions,
                                std::vector<at::Tensor>& skips, const Scope& scope, size_t first,
                                size_t last) {
  for (size_t i = first; i < last; ++i) {
    x = at::cat({x, skips.back()}, 1);
    skips.pop_back();
    x = scope.in("resnets", i).out(run_resnet(resnets_[i], x, conditions));
    if (!attentions_.empty()) {
      x = attentions_[i]->forward(x, conditions, scope.in("attentions", i));
    }
  }
  if (upsampler_ && last == resnets_.size()) {
    const auto next = skips.back().sizes().slice(2);
    const bool doubles = next == at::IntArrayRef({2 * x.size(2), 2 * x.size(3)});
    if (!doubles) x = at::upsample_nearest2d(x, next);  // a side that was odd
    x = scope.in("upsamplers", 0).out(upsampler_->forward(x, {.doubles = doubles}));
  }
  return x;
}

}  // namespace pangu::nn
