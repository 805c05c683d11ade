// UNet2DConditionModel: embeddings, the order of blocks, and the checks at the door.
#include "nn/unet.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <cmath>
#include <sstream>

#include "core/error.h"
#include "nn/fused_norm.h"

namespace pangu::nn {
namespace {

constexpr double kMaxPeriod = 10000.0;         // Vaswani et al. 2017
constexpr double kHiddenTokenBias = -10000.0;  // diffusers' encoder_attention_mask

std::string shape_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return "nothing";
  std::ostringstream text;
  text << tensor.sizes();
  return text.str();
}

void require(bool holds, const std::string& what, const std::string& expected,
             const at::Tensor& found) {
  if (!holds) throw bad_input("UNet input '" + what + "'", expected, shape_of(found));
}

TransformerShape transformer_at(const UNetConfig& c, int64_t level) {
  TransformerShape shape;
  shape.channels = c.block_out_channels[static_cast<size_t>(level)];
  shape.context_dim = at_level(c.cross_attention_dim, level);
  shape.heads = at_level(c.attention_head_dim, level);
  shape.depth = at_level(c.transformer_layers_per_block, level);
  shape.norm_groups = c.norm_num_groups;
  shape.linear_projection = c.use_linear_projection;
  shape.only_cross_attention = at_level(c.only_cross_attention, level);
  shape.upcast = c.upcast_attention;
  return shape;
}

ResnetShape resnet(const UNetConfig& c, int64_t in, int64_t out) {
  return {in, out, c.time_embed_dim(), c.norm_num_groups, c.norm_eps};
}

BlockShape down_shape(const UNetConfig& c, int64_t level) {
  BlockShape shape;
  const int64_t out = c.block_out_channels[static_cast<size_t>(level)];
  int64_t in = c.block_out_channels[static_cast<size_t>(level > 0 ? level - 1 : 0)];
  for (int64_t i = 0; i < at_level(c.layers_per_block, level); ++i) {
    shape.resnets.push_back(resnet(c, in, out));
    in = out;
  }
  if (c.down_block_types[static_cast<size_t>(level)] == "CrossAttnDownBlock2D") {
    shape.transformer = transformer_at(c, level);
  }
  shape.resamples = level + 1 < c.levels();
  return shape;
}

BlockShape mid_shape(const UNetConfig& c) {
  BlockShape shape;
  const int64_t channels = c.block_out_channels.back();
  shape.resnets.push_back(resnet(c, channels, channels));
  if (*c.mid_block_type == "UNetMidBlock2DCrossAttn") {
    shape.resnets.push_back(resnet(c, channels, channels));
    shape.transformer = transformer_at(c, c.levels() - 1);
    shape.transformer->only_cross_attention = false;
  }
  return shape;
}

// `index` counts from the coarsest level.
BlockShape up_shape(const UNetConfig& c, int64_t index) {
  BlockShape shape;
  const int64_t level = c.levels() - 1 - index;
  const auto channels = [&c](int64_t at) { return c.block_out_channels[static_cast<size_t>(at)]; };
  const int64_t out = channels(level);
  const int64_t finer = channels(std::max<int64_t>(level - 1, 0));
  int64_t from_below = channels(std::min(level + 1, c.levels() - 1));
  const int64_t layers = at_level(c.layers_per_block, level) + 1;
  for (int64_t i = 0; i < layers; ++i) {
    // The last skip of a level is the finer level's output (downsampled).
    const int64_t skip = i + 1 == layers ? finer : out;
    shape.resnets.push_back(resnet(c, from_below + skip, out));
    from_below = out;
  }
  if (c.up_block_types[static_cast<size_t>(index)] == "CrossAttnUpBlock2D") {
    shape.transformer = transformer_at(c, level);
  }
  shape.resamples = level > 0;
  return shape;
}

torch::nn::Conv2d same_conv(int64_t in, int64_t out, int64_t kernel) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel).padding(kernel / 2));
}

}  // namespace

at::Tensor timestep_embedding(const at::Tensor& t, int64_t dim, bool flip_sin_to_cos,
                              int64_t freq_shift) {
  const int64_t half = dim / 2;
  at::Tensor exponent = at::arange(half, at::TensorOptions(at::kFloat).device(t.device()));
  exponent = exponent * -std::log(kMaxPeriod) / static_cast<double>(half - freq_shift);
  const at::Tensor angle = t.to(at::kFloat).unsqueeze(1) * exponent.exp().unsqueeze(0);
  const at::Tensor sin = angle.sin();
  const at::Tensor cos = angle.cos();
  at::Tensor features = flip_sin_to_cos ? at::cat({cos, sin}, 1) : at::cat({sin, cos}, 1);
  if (dim % 2 == 1) features = at::constant_pad_nd(features, {0, 1});
  return features;
}

TimestepEmbeddingImpl::TimestepEmbeddingImpl(int64_t in, int64_t out) {
  linear_1_ = register_module("linear_1", torch::nn::Linear(in, out));
  linear_2_ = register_module("linear_2", torch::nn::Linear(out, out));
}

at::Tensor TimestepEmbeddingImpl::forward(const at::Tensor& x) {
  return linear_2_(at::silu(linear_1_(x)));
}

UNet2DConditionModel::UNet2DConditionModel(const UNetConfig& config) : config_(config) {
  config_.validate();
  const int64_t first = config_.block_out_channels.front();
  conv_in_ =
      register_module("conv_in", same_conv(config_.in_channels, first, config_.conv_in_kernel));
  build_embeddings();
  build_blocks();
  norm_out_ = register_module(
      "conv_norm_out",
      torch::nn::GroupNorm(
          torch::nn::GroupNormOptions(config_.norm_num_groups, first).eps(config_.norm_eps)));
  conv_out_ =
      register_module("conv_out", same_conv(first, config_.out_channels, config_.conv_out_kernel));
}

void UNet2DConditionModel::build_embeddings() {
  const UNetConfig& c = config_;
  const int64_t first = c.block_out_channels.front();
  const int64_t width = c.time_embed_dim();
  time_embedding_ = register_module("time_embedding", TimestepEmbedding(first, width));
  if (c.class_embed_type == "timestep") {
    class_mlp_ = register_module("class_embedding", TimestepEmbedding(first, width));
  } else if (c.class_embed_type == "projection") {
    class_mlp_ = register_module(
        "class_embedding", TimestepEmbedding(*c.projection_class_embeddings_input_dim, width));
  } else if (c.class_embed_type == "simple_projection") {
    class_linear_ = register_module(
        "class_embedding", torch::nn::Linear(*c.projection_class_embeddings_input_dim, width));
  } else if (!c.class_embed_type && c.num_class_embeds) {
    class_table_ =
        register_module("class_embedding", torch::nn::Embedding(*c.num_class_embeds, width));
  }
  if (c.addition_embed_type) {
    add_embedding_ = register_module(
        "add_embedding", TimestepEmbedding(*c.projection_class_embeddings_input_dim, width));
  }
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

void UNet2DConditionModel::check_inputs(const at::Tensor& sample, const at::Tensor& t_index,
                                        const at::Tensor& context, const UNetExtras& extras) const {
  const auto text = [](int64_t n) { return std::to_string(n); };
  require(sample.defined() && sample.dim() == 4 && sample.size(1) == config_.in_channels &&
              sample.numel() > 0,
          "sample", "[B," + text(config_.in_channels) + ",H,W]", sample);
  const int64_t batch = sample.size(0);
  require(
      t_index.defined() && t_index.dim() == 1 && (t_index.size(0) == batch || t_index.size(0) == 1),
      "t_index", "[" + text(batch) + "]", t_index);
  const int64_t width = config_.cross_attention_dim.front();
  require(context.defined() && context.dim() == 3 && context.size(0) == batch &&
              context.size(1) > 0 && context.size(2) == width,
          "context", "[" + text(batch) + ",L," + text(width) + "]", context);
  if (extras.context_mask.defined()) {
    require(extras.context_mask.sizes() == context.sizes().slice(0, 2), "context_mask",
            "[" + text(batch) + "," + text(context.size(1)) + "]", extras.context_mask);
  }
  if (extras.time_shift.defined()) {
    const int64_t time_width = config_.time_embed_dim();
    require(extras.time_shift.sizes() == at::IntArrayRef({batch, time_width}), "time_shift",
            "[" + text(batch) + "," + text(time_width) + "]", extras.time_shift);
  }
  const bool needs_class = class_mlp_ || class_linear_ || class_table_ || config_.class_embed_type;
  if (needs_class) {
    require(extras.class_labels.defined() && extras.class_labels.size(0) == batch, "class_labels",
            "one row a sample, because the model has a class embedding", extras.class_labels);
  }
  if (add_embedding_) {
    const at::Tensor& pooled = extras.text_embeds;
    const at::Tensor& ids = extras.time_ids;
    require(pooled.defined() && pooled.dim() == 2 && pooled.size(0) == batch, "text_embeds",
            "[" + text(batch) + ",P], because addition_embed_type is text_time", pooled);
    const int64_t rest = *config_.projection_class_embeddings_input_dim - pooled.size(1);
    const int64_t each = *config_.addition_time_embed_dim;
    require(ids.defined() && ids.dim() == 2 && ids.size(0) == batch && ids.size(1) * each == rest,
            "time_ids", "[" + text(batch) + "," + text(rest / each) + "]", ids);
  }
}

at::Tensor UNet2DConditionModel::embed_class(const at::Tensor& labels, at::ScalarType dtype) {
  if (class_table_) return class_table_(labels);
  if (class_linear_) return class_linear_(labels.to(dtype));
  if (!class_mlp_) return labels.to(dtype);  // "identity"
  if (config_.class_embed_type != "timestep") return class_mlp_(labels.to(dtype));
  return class_mlp_(timestep_embedding(labels, config_.block_out_channels.front(),
                                       config_.flip_sin_to_cos, config_.freq_shift)
                        .to(dtype));
}

at::Tensor UNet2DConditionModel::embed_addition(const UNetExtras& extras, at::ScalarType dtype) {
  const at::Tensor ids =
      timestep_embedding(extras.time_ids.flatten(), *config_.addition_time_embed_dim,
                         config_.flip_sin_to_cos, config_.freq_shift)
          .view({extras.text_embeds.size(0), -1});
  return add_embedding_(at::cat({extras.text_embeds.to(dtype), ids.to(dtype)}, 1));
}

// Returns silu of the whole time embedding, [B,T].
at::Tensor UNet2DConditionModel::embed_time(const at::Tensor& t_index, int64_t batch,
                                            const UNetExtras& extras) {
  const auto dtype = conv_in_->weight.scalar_type();
  const Scope root(&extras.trace);
  const at::Tensor sinusoid =
      timestep_embedding(t_index.expand({batch}), config_.block_out_channels.front(),
                         config_.flip_sin_to_cos, config_.freq_shift);
  at::Tensor time = root.in("time_embedding").out(time_embedding_(sinusoid.to(dtype)));
  const bool has_class = class_mlp_ || class_linear_ || class_table_ || config_.class_embed_type;
  if (has_class) {
    time = time + root.in("class_embedding").out(embed_class(extras.class_labels, dtype));
  }
  if (add_embedding_) time = time + root.in("add_embedding").out(embed_addition(extras, dtype));
  if (extras.time_shift.defined()) time = time + extras.time_shift.to(dtype);
  return at::silu(time);
}

at::Tensor UNet2DConditionModel::forward(const at::Tensor& sample, const at::Tensor& t_index,
                                         const at::Tensor& context, const UNetExtras& extras) {
  check_inputs(sample, t_index, context, extras);
  const auto dtype = conv_in_->weight.scalar_type();
  const Scope root(&extras.trace);
  UNetConditions conditions;
  conditions.time_act = embed_time(t_index, sample.size(0), extras);
  conditions.context = context.to(dtype);
  if (extras.context_mask.defined()) {
    const at::Tensor hidden = extras.context_mask.logical_not().to(dtype) * kHiddenTokenBias;
    conditions.context_bias = hidden.unsqueeze(1).unsqueeze(1);
  }

  at::Tensor x = sample.to(dtype).contiguous(at::MemoryFormat::ChannelsLast);
  x = root.in("conv_in").out(conv_in_(x));
  std::vector<at::Tensor> skips = {x};
  for (size_t i = 0; i < down_blocks_.size(); ++i) {
    x = down_blocks_[i]->forward(x, conditions, skips, root.in("down_blocks", i));
  }
  if (!extras.down_residuals.empty()) {
    if (extras.down_residuals.size() != skips.size()) {
      throw bad_input("UNet input 'down_residuals'", std::to_string(skips.size()) + " tensors",
                      std::to_string(extras.down_residuals.size()));
    }
    for (size_t i = 0; i < skips.size(); ++i) skips[i] = skips[i] + extras.down_residuals[i];
  }
  if (mid_block_) x = mid_block_->forward(x, conditions, root.in("mid_block"));
  if (extras.mid_residual.defined()) x = x + extras.mid_residual;
  for (size_t i = 0; i < up_blocks_.size(); ++i) {
    x = up_blocks_[i]->forward(x, conditions, skips, root.in("up_blocks", i));
  }
  x = group_norm(x, norm_out_, AfterNorm::kSilu);
  return root.in("conv_out").out(conv_out_(x));
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
