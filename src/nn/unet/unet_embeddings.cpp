// Sinusoids, the embeddings that are added to the time's, and the checks of a network's inputs.
#include "nn/unet/unet_embeddings.h"

#include <ATen/ATen.h>

#include <cmath>
#include <sstream>

#include "core/error.h"

namespace pangu::nn {
namespace {

constexpr double kMaxPeriod = 10000.0;         // Vaswani et al. 2017
constexpr double kHiddenTokenBias = -10000.0;  // diffusers' encoder_attention_mask

std::string sizes_text(const at::Tensor& tensor) {
  if (!tensor.defined()) return "nothing";
  std::ostringstream text;
  text << tensor.sizes();
  return text.str();
}

void require_input(bool holds, const std::string& what, const std::string& expected,
                   const at::Tensor& found) {
  if (!holds) throw bad_input("UNet input '" + what + "'", expected, sizes_text(found));
}

// LCM's w is the scale less 1, in thousandths (Luo et al. 2023; diffusers'
// get_guidance_scale_embedding).
at::Tensor guidance_features(const at::Tensor& scale, int64_t dim) {
  constexpr double kThousand = 1000.0;
  return timestep_embedding((scale.to(at::kFloat) - 1.0) * kThousand, dim,
                            /*flip_sin_to_cos=*/false, /*freq_shift=*/1);
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

at::Tensor mean_context(const at::Tensor& context, const at::Tensor& mask) {
  if (!mask.defined()) return context.mean(1);
  const at::Tensor counts = mask.to(context.scalar_type()).unsqueeze(2);  // [B,L,1]
  return (context * counts).sum(1) / counts.sum(1).clamp_min(1);
}

TimestepEmbeddingImpl::TimestepEmbeddingImpl(int64_t in, int64_t out,
                                             std::optional<int64_t> condition) {
  if (condition) {
    cond_proj_ = register_module("cond_proj", Linear(*condition, in, /*has_bias=*/false));
  }
  linear_1_ = register_module("linear_1", Linear(in, out));
  linear_2_ = register_module("linear_2", Linear(out, out));
}

at::Tensor TimestepEmbeddingImpl::forward(const at::Tensor& x, const at::Tensor& condition) {
  const at::Tensor sum = condition.defined() ? x + cond_proj_(condition) : x;
  return linear_2_(linear_1_->forward(sum, {}, {.activation = Activation::kSilu}));
}

void UNetEmbeddings::build(torch::nn::Module& owner, const UNetConfig& config) {
  config_ = config;
  const UNetConfig& c = config;
  const int64_t first = c.block_out_channels.front();
  const int64_t width = c.time_embed_dim();
  time_embedding_ = owner.register_module("time_embedding",
                                          TimestepEmbedding(first, width, c.time_cond_proj_dim));
  if (c.class_embed_type == "timestep") {
    class_mlp_ = owner.register_module("class_embedding", TimestepEmbedding(first, width));
  } else if (c.class_embed_type == "projection") {
    class_mlp_ = owner.register_module(
        "class_embedding", TimestepEmbedding(*c.projection_class_embeddings_input_dim, width));
  } else if (c.class_embed_type == "simple_projection") {
    class_linear_ = owner.register_module("class_embedding",
                                          Linear(*c.projection_class_embeddings_input_dim, width));
  } else if (!c.class_embed_type && c.num_class_embeds) {
    class_table_ =
        owner.register_module("class_embedding", torch::nn::Embedding(*c.num_class_embeds, width));
  }
  if (c.addition_embed_type) {
    add_embedding_ = owner.register_module(
        "add_embedding", TimestepEmbedding(*c.projection_class_embeddings_input_dim, width));
  }
}

void UNetEmbeddings::check_sample(const at::Tensor& sample, const at::Tensor& t_index) const {
  require_input(sample.defined() && sample.dim() == 4 && sample.size(1) == config_.in_channels &&
                    sample.numel() > 0,
                "sample", "[B," + std::to_string(config_.in_channels) + ",H,W]", sample);
  const int64_t batch = sample.size(0);
  require_input(
      t_index.defined() && t_index.dim() == 1 && (t_index.size(0) == batch || t_index.size(0) == 1),
      "t_index", "[" + std::to_string(batch) + "]", t_index);
}

void UNetEmbeddings::check_conditions(const at::Tensor& context, const UNetExtras& extras,
                                      int64_t batch) const {
  const auto text = [](int64_t n) { return std::to_string(n); };
  const int64_t width = config_.cross_attention_dim.front();
  require_input(context.defined() && context.dim() == 3 && context.size(0) == batch &&
                    context.size(1) > 0 && context.size(2) == width,
                "context", "[" + text(batch) + ",L," + text(width) + "]", context);
  if (extras.context_mask.defined()) {
    require_input(extras.context_mask.sizes() == context.sizes().slice(0, 2), "context_mask",
                  "[" + text(batch) + "," + text(context.size(1)) + "]", extras.context_mask);
  }
  if (extras.time_shift.defined()) {
    const int64_t time_width = config_.time_embed_dim();
    require_input(extras.time_shift.sizes() == at::IntArrayRef({batch, time_width}), "time_shift",
                  "[" + text(batch) + "," + text(time_width) + "]", extras.time_shift);
  }
  if (config_.time_cond_proj_dim) {
    require_input(extras.guidance.defined() && extras.guidance.sizes() == at::IntArrayRef({batch}),
                  "guidance", "[" + text(batch) + "], because the model has time_cond_proj_dim",
                  extras.guidance);
  }
  if (has_class()) {
    require_input(extras.class_labels.defined() && extras.class_labels.size(0) == batch,
                  "class_labels", "one row a sample, because the model has a class embedding",
                  extras.class_labels);
  }
  if (add_embedding_) {
    const at::Tensor& pooled = extras.text_embeds;
    const at::Tensor& ids = extras.time_ids;
    require_input(pooled.defined() && pooled.dim() == 2 && pooled.size(0) == batch, "text_embeds",
                  "[" + text(batch) + ",P], because addition_embed_type is text_time", pooled);
    const int64_t rest = *config_.projection_class_embeddings_input_dim - pooled.size(1);
    const int64_t each = *config_.addition_time_embed_dim;
    require_input(
        ids.defined() && ids.dim() == 2 && ids.size(0) == batch && ids.size(1) * each == rest,
        "time_ids", "[" + text(batch) + "," + text(rest / each) + "]", ids);
  }
}

bool UNetEmbeddings::has_class() const {
  return class_mlp_ || class_linear_ || class_table_ || config_.class_embed_type;
}

at::Tensor UNetEmbeddings::embed_class(const at::Tensor& labels, at::ScalarType dtype) {
  if (class_table_) return class_table_(labels);
  if (class_linear_) return class_linear_(labels.to(dtype));
  if (!class_mlp_) return labels.to(dtype);  // "identity"
  if (config_.class_embed_type != "timestep") return class_mlp_(labels.to(dtype));
  return class_mlp_(timestep_embedding(labels, config_.block_out_channels.front(),
                                       config_.flip_sin_to_cos, config_.freq_shift)
                        .to(dtype));
}

at::Tensor UNetEmbeddings::embed_addition(const UNetExtras& extras, at::ScalarType dtype) {
  const at::Tensor ids =
      timestep_embedding(extras.time_ids.flatten(), *config_.addition_time_embed_dim,
                         config_.flip_sin_to_cos, config_.freq_shift)
          .view({extras.text_embeds.size(0), -1});
  return add_embedding_(at::cat({extras.text_embeds.to(dtype), ids.to(dtype)}, 1));
}

PreparedConditions UNetEmbeddings::prepare(const at::Tensor& context, const UNetExtras& extras,
                                           at::ScalarType dtype) {
  PreparedConditions prepared;
  prepared.context = context.to(dtype);
  if (extras.context_mask.defined()) {
    const at::Tensor hidden = extras.context_mask.logical_not().to(dtype) * kHiddenTokenBias;
    prepared.context_bias = hidden.unsqueeze(1).unsqueeze(1);
  }
  if (config_.time_cond_proj_dim) {
    prepared.guidance_features =
        guidance_features(extras.guidance, *config_.time_cond_proj_dim).to(dtype);
  }
  if (has_class()) prepared.class_embedding = embed_class(extras.class_labels, dtype);
  if (add_embedding_) prepared.added_embedding = embed_addition(extras, dtype);
  if (extras.time_shift.defined()) prepared.time_shift = extras.time_shift.to(dtype);
  return prepared;
}

UNetConditions UNetEmbeddings::forward(const at::Tensor& t_index, int64_t batch,
                                       const PreparedConditions& prepared, const Scope& root,
                                       at::ScalarType dtype) {
  const at::Tensor sinusoid =
      timestep_embedding(t_index.expand({batch}), config_.block_out_channels.front(),
                         config_.flip_sin_to_cos, config_.freq_shift);
  at::Tensor time =
      root.in("time_embedding")
          .out(time_embedding_->forward(sinusoid.to(dtype), prepared.guidance_features));
  if (has_class()) time = time + root.in("class_embedding").out(prepared.class_embedding);
  if (add_embedding_) time = time + root.in("add_embedding").out(prepared.added_embedding);
  if (prepared.time_shift.defined()) time = time + prepared.time_shift;
  return {at::silu(time), prepared.context, prepared.context_bias, prepared.keys_values};
}

}  // namespace pangu::nn
