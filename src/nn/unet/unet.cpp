// UNet2DConditionModel: how its blocks are built and run.
#include "nn/unet/unet.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <algorithm>

#include "core/error.h"
#include "nn/unet/unet_shapes.h"

namespace pangu::nn {
namespace {

// Throws unless a ControlNet's residual has the state's shape or, as a mean over the pixels,
// [B,C,1,1].
void check_residual(const std::string& name, const at::Tensor& residual, const at::Tensor& state) {
  const bool fits = residual.defined() && residual.dim() == 4 &&
                    residual.sizes().slice(0, 2) == state.sizes().slice(0, 2) &&
                    (residual.sizes().slice(2) == state.sizes().slice(2) ||
                     residual.sizes().slice(2) == at::IntArrayRef({1, 1}));
  if (fits) return;
  throw bad_input("UNet input '" + name + "'", c10::str(state.sizes()),
                  residual.defined() ? c10::str(residual.sizes()) : "nothing",
                  "is the ControlNet made for this model?");
}

void check_depth(const DeepFeatures& deep, size_t states) {
  if (deep.depth > 0 && static_cast<size_t>(deep.depth) < states) return;
  throw bad_input("UNet input 'deep', depth", "1 to " + std::to_string(states - 1),
                  std::to_string(deep.depth));
}

// skip: the last state of the shallow part, which is laid beside the deep features.
void check_state(const at::Tensor& state, const at::Tensor& skip) {
  if (state.dim() == 4 && state.size(0) == skip.size(0) &&
      state.sizes().slice(2) == skip.sizes().slice(2)) {
    return;
  }
  throw bad_input("UNet input 'deep', state",
                  c10::str("the features of a forward of equal rows and size, [", skip.size(0),
                           ",C,", skip.size(2), ",", skip.size(3), "]"),
                  c10::str(state.sizes()));
}

}  // namespace

UNet2DConditionModel::UNet2DConditionModel(const UNetConfig& config) : config_(config) {
  config_.validate();
  const int64_t first = config_.block_out_channels.front();
  conv_in_ =
      register_module("conv_in", same_conv2d(config_.in_channels, first, config_.conv_in_kernel));
  embeddings_.build(*this, config_);
  build_blocks();
  number_cross_attentions();
  norm_out_ = register_module(
      "conv_norm_out",
      torch::nn::GroupNorm(
          torch::nn::GroupNormOptions(config_.norm_num_groups, first).eps(config_.norm_eps)));
  conv_out_ = register_module("conv_out",
                              same_conv2d(first, config_.out_channels, config_.conv_out_kernel));
}

void UNet2DConditionModel::build_blocks() {
  torch::nn::ModuleList downs;
  torch::nn::ModuleList ups;
  for (int64_t level = 0; level < config_.levels(); ++level) {
    down_blocks_.emplace_back(down_shape(config_, level));
    downs->push_back(down_blocks_.back());
  }
  register_module("down_blocks", downs);
  if (config_.mid_block_type) {
    mid_block_ = register_module("mid_block", MidBlock(mid_shape(config_)));
  }
  for (int64_t index = 0; index < config_.levels(); ++index) {
    up_blocks_.emplace_back(up_shape(config_, index));
    ups->push_back(up_blocks_.back());
  }
  register_module("up_blocks", ups);
}

void UNet2DConditionModel::number_cross_attentions() {
  for (const auto& module : modules(/*include_self=*/false)) {
    auto* block = module->as<BasicTransformerBlockImpl>();
    if (!block) continue;
    block->number_from(cross_attentions_.size());
    for (const Attention& attention : block->cross_attentions()) {
      cross_attentions_.push_back(attention);
    }
  }
}

PreparedConditions UNet2DConditionModel::prepare(const at::Tensor& context,
                                                 const UNetExtras& extras) {
  embeddings_.check_conditions(context, extras, context.defined() ? context.size(0) : 0);
  PreparedConditions prepared =
      embeddings_.prepare(context, extras, conv_in_->weight.scalar_type());
  int64_t bytes = 0;
  for (const Attention& attention : cross_attentions_) {
    bytes += 2 * context.size(0) * context.size(1) * attention->width() *
             static_cast<int64_t>(prepared.context.element_size());
  }
  if (bytes > kMostPreparedBytes) return prepared;
  for (Attention& attention : cross_attentions_) {
    prepared.keys_values.push_back(attention->keys_values(prepared.context));
  }
  return prepared;
}

at::Tensor UNet2DConditionModel::forward(const at::Tensor& sample, const at::Tensor& t_index,
                                         const at::Tensor& context, const UNetExtras& extras) {
  embeddings_.check_sample(sample, t_index);
  embeddings_.check_conditions(context, extras, sample.size(0));
  return run(sample, t_index, embeddings_.prepare(context, extras, conv_in_->weight.scalar_type()),
             extras);
}

at::Tensor UNet2DConditionModel::forward(const at::Tensor& sample, const at::Tensor& t_index,
                                         const PreparedConditions& prepared,
                                         const UNetStepExtras& extras) {
  embeddings_.check_sample(sample, t_index);
  const size_t kept = prepared.keys_values.size();
  if (!prepared.context.defined() || prepared.context.size(0) != sample.size(0) ||
      (kept != 0 && kept != cross_attentions_.size())) {
    throw bad_input("UNet input 'prepared'",
                    "conditions that this network prepared, one row a sample",
                    prepared.context.defined() ? c10::str(prepared.context.sizes()) : "nothing");
  }
  return run(sample, t_index, prepared, extras);
}

at::Tensor UNet2DConditionModel::run(const at::Tensor& sample, const at::Tensor& t_index,
                                     const PreparedConditions& prepared,
                                     const UNetStepExtras& extras) {
  const auto dtype = conv_in_->weight.scalar_type();
  const Scope root(&extras.trace);
  UNetConditions conditions = embeddings_.forward(t_index, sample.size(0), prepared, root, dtype);
  conditions.recomputes = extras.recomputes;
  at::Tensor x = sample.to(dtype).contiguous(at::MemoryFormat::ChannelsLast);
  x = root.in("conv_in").out(conv_in_(x));
  std::vector<at::Tensor> skips = {x};
  const auto states = static_cast<size_t>(config_.skip_states());
  if (extras.deep) check_depth(*extras.deep, states);
  const bool reuses = extras.deep && extras.deep->state.defined();
  const size_t computed = reuses ? static_cast<size_t>(extras.deep->depth) : states;
  for (size_t i = 0; i < down_blocks_.size() && skips.size() < computed; ++i) {
    x = down_blocks_[i]->forward(x, conditions, skips, root.in("down_blocks", i), computed);
  }
  if (!extras.down_residuals.empty()) {
    if (extras.down_residuals.size() != skips.size()) {
      throw bad_input("UNet input 'down_residuals'", std::to_string(skips.size()) + " tensors",
                      std::to_string(extras.down_residuals.size()));
    }
    for (size_t i = 0; i < skips.size(); ++i) {
      check_residual("down_residuals", extras.down_residuals[i], skips[i]);
      skips[i] = skips[i] + extras.down_residuals[i];
    }
  }
  if (reuses) {
    check_state(extras.deep->state, skips.back());
  } else {
    x = run_middle(x, conditions, extras, root);
  }
  x = run_upward(x, conditions, skips, extras.deep, root);
  return root.in("conv_out")
      .out(conv_out_->forward(x, {.group_norm = norm_out_, .activation = Activation::kSilu}));
}

at::Tensor UNet2DConditionModel::class_labels_of(const at::Tensor& context,
                                                 const at::Tensor& mask) const {
  if (config_.class_embed_type != "projection") return {};
  return mean_context(context, mask);
}

at::Tensor UNet2DConditionModel::run_middle(at::Tensor x, const UNetConditions& conditions,
                                            const UNetStepExtras& extras, const Scope& root) {
  if (mid_block_) x = mid_block_->forward(x, conditions, root.in("mid_block"));
  if (!extras.mid_residual.defined()) return x;
  check_residual("mid_residual", extras.mid_residual, x);
  return x + extras.mid_residual;
}

at::Tensor UNet2DConditionModel::run_upward(at::Tensor x, const UNetConditions& conditions,
                                            std::vector<at::Tensor>& skips, DeepFeatures* deep,
                                            const Scope& root) {
  const bool reuses = deep && deep->state.defined();
  const auto depth = deep ? static_cast<size_t>(deep->depth) : 0;
  auto left = static_cast<size_t>(config_.skip_states());  // states that no layer has taken so far
  for (size_t i = 0; i < up_blocks_.size(); ++i) {
    UpBlock& block = up_blocks_[i];
    const Scope scope = root.in("up_blocks", i);
    const size_t layers = block->layers();
    // The first of the block's layers that belongs to the shallow part.
    const size_t shallow = deep && left > depth ? std::min(left - depth, layers) : 0;
    if (shallow > 0 && !reuses) {
      x = block->forward(x, conditions, skips, scope, 0, shallow);
    }
    if (deep && shallow < layers && left - shallow == depth) {
      if (reuses) x = deep->state;
      if (!reuses) deep->state = x;
    }
    if (shallow < layers) x = block->forward(x, conditions, skips, scope, shallow, layers);
    left -= layers;
  }
  return x;
}

void zero_init_output(UNet2DConditionModel& unet) {
  const at::NoGradGuard no_grad;
  for (const auto& item : unet.named_parameters()) {
    if (item.key().starts_with("conv_out.")) item.value().zero_();
  }
}

void weights_to_channels_last(torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : module.parameters()) {
    if (parameter.dim() == 4) {
      parameter.set_data(parameter.detach().contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
}

}  // namespace pangu::nn
