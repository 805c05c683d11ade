// CLIP's image encoder and the preparation of its pictures.
#include "nn/text/clip_vision.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.h"
#include "core/json_reader.h"
#include "nn/shape_reader.h"

namespace pangu::nn {
namespace {

constexpr char kVisionConfig[] = "CLIP vision config";
constexpr int64_t kVisionHeadWidth = 64;

Error vision_key_error(const char* key, const std::string& expected, const std::string& found) {
  return bad_input(std::string(kVisionConfig) + ", key '" + key + "'", expected, found);
}

// The cubic filter of Keys with a = -0.5, at a distance of x pixels.
double cubic_weight(double x) {
  x = std::abs(x);
  if (x < 1.0) return (1.5 * x - 2.5) * x * x + 1.0;
  if (x < 2.0) return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0;
  return 0.0;
}

// One pass of PIL's resize, bit for bit: weights are whole multiples of 2^-22, so their sum over
// bytes is exact in f64; the result is rounded to 8 bits (0..255, kept in f32).
at::Tensor resize_pass(const at::Tensor& x, int64_t side, int64_t size) {
  constexpr double kOne = 1 << 22;
  const int64_t old_size = x.size(side);
  if (old_size == size) return x;
  const double scale = static_cast<double>(old_size) / static_cast<double>(size);
  const double stretch = std::max(scale, 1.0), reach = 2.0 * stretch;
  const int64_t taps = 2 * static_cast<int64_t>(std::ceil(reach)) + 1;
  const at::Tensor sources = at::zeros({taps, size}, at::kLong);
  const at::Tensor weights = at::zeros({taps, size}, at::kDouble);
  auto source = sources.accessor<int64_t, 2>();
  auto weight = weights.accessor<double, 2>();
  for (int64_t i = 0; i < size; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<int64_t>(static_cast<int64_t>(centre - reach + 0.5), 0);
    const auto end = std::min<int64_t>(static_cast<int64_t>(centre + reach + 0.5), old_size);
    double sum = 0.0;
    for (int64_t j = first; j < end; ++j) {
      const double distance = (static_cast<double>(j) - centre + 0.5) * (1.0 / stretch);
      source[j - first][i] = j;
      sum += weight[j - first][i] = cubic_weight(distance);
    }
    // Halves are rounded away from zero, as by PIL.
    for (int64_t j = 0; j < taps; ++j) weight[j][i] = std::round(weight[j][i] / sum * kOne);
  }
  std::vector<int64_t> along(x.dim(), 1);
  along[side] = size;
  const at::Tensor pixels = x.to(at::kDouble);
  at::Tensor sum;
  for (int64_t tap = 0; tap < taps; ++tap) {
    const at::Tensor part = pixels.index_select(side, sources[tap].to(x.device())) *
                            weights[tap].to(x.device()).view(along);
    sum = sum.defined() ? sum.add_(part) : part;
  }
  return sum.div_(kOne).add_(0.5).floor_().clamp_(0, 255).to(at::kFloat);
}

void check_picture(const at::Tensor& image, int64_t size) {
  if (image.defined() && image.dim() == 4 && image.size(1) == 3 && image.numel() != 0 &&
      size >= 1) {
    return;
  }
  throw bad_input("picture for the CLIP vision model", "[B,3,H,W]",
                  image.defined() ? c10::str(image.sizes()) : "nothing");
}

// image: [B,3,H,W] f32 in [0,1]. Returns [B,3,height,width] f32 with whole values in 0..255.
at::Tensor resized_bytes(const at::Tensor& image, int64_t height, int64_t width) {
  const at::Tensor x = image.to(at::kFloat).clamp(0, 1).mul(255).round();
  return resize_pass(resize_pass(x, 3, width), 2, height);
}

// x: [B,3,H,W], 0..255. The statistics of CLIP's training set (Radford et al. 2021, released code).
at::Tensor normalised_bytes(const at::Tensor& x) {
  const auto channels = [&](float r, float g, float b) {
    return at::tensor({r, g, b}).to(x.device()).view({1, 3, 1, 1});
  };
  const at::Tensor mean = channels(0.48145466F, 0.4578275F, 0.40821073F);
  const at::Tensor deviation = channels(0.26862954F, 0.26130258F, 0.27577711F);
  return ((x / 255.0 - mean) / deviation).contiguous();
}

}  // namespace

ClipVisionConfig ClipVisionConfig::from_json(const nlohmann::json& json) {
  ClipVisionConfig c;
  JsonReader reader(kVisionConfig, json);
  reader.only("model_type", {"clip_vision_model"});
  reader.read("hidden_size", c.hidden_size);
  reader.read("intermediate_size", c.intermediate_size);
  reader.read("num_hidden_layers", c.num_hidden_layers);
  reader.read("num_attention_heads", c.num_attention_heads);
  reader.read("num_channels", c.num_channels);
  reader.read("image_size", c.image_size);
  reader.read("patch_size", c.patch_size);
  reader.read("layer_norm_eps", c.layer_norm_eps);
  reader.read("projection_dim", c.projection_dim);
  std::string act = name_of(c.hidden_act);
  reader.read("hidden_act", act);
  c.hidden_act = clip_activation_of(act);
  c.validate();
  return c;
}

nlohmann::json ClipVisionConfig::to_json() const {
  return {{"architectures", {"CLIPVisionModelWithProjection"}},
          {"model_type", "clip_vision_model"},
          {"hidden_size", hidden_size},
          {"intermediate_size", intermediate_size},
          {"num_hidden_layers", num_hidden_layers},
          {"num_attention_heads", num_attention_heads},
          {"num_channels", num_channels},
          {"image_size", image_size},
          {"patch_size", patch_size},
          {"hidden_act", name_of(hidden_act)},
          {"layer_norm_eps", layer_norm_eps},
          {"projection_dim", projection_dim}};
}

void ClipVisionConfig::validate() const {
  const auto in_range = [](const char* key, int64_t value, int64_t high) {
    if (value >= 1 && value <= high) return;
    throw vision_key_error(key, "1.." + std::to_string(high), std::to_string(value));
  };
  in_range("hidden_size", hidden_size, 1 << 16);
  in_range("intermediate_size", intermediate_size, 1 << 18);
  in_range("num_hidden_layers", num_hidden_layers, 1 << 10);
  in_range("num_attention_heads", num_attention_heads, 1 << 12);
  in_range("num_channels", num_channels, 1 << 10);
  in_range("image_size", image_size, 1 << 14);
  in_range("patch_size", patch_size, image_size);
  in_range("projection_dim", projection_dim, 1 << 16);
  if (hidden_size % num_attention_heads != 0) {
    throw vision_key_error("num_attention_heads",
                           "a divisor of hidden_size " + std::to_string(hidden_size),
                           std::to_string(num_attention_heads));
  }
  if (!(layer_norm_eps > 0)) {
    throw vision_key_error("layer_norm_eps", "a positive number", std::to_string(layer_norm_eps));
  }
}

ClipVisionConfig clip_vision_config_from_shapes(const TensorShapes& shapes, Activation hidden_act) {
  const ShapeReader reader("CLIP vision model", shapes);
  const std::string root = "vision_model.";
  const std::string patches = root + "embeddings.patch_embedding.weight";
  ClipVisionConfig c;
  c.hidden_act = hidden_act;
  c.hidden_size = reader.size(patches, 4, 0);
  c.num_channels = reader.size(patches, 4, 1);
  c.patch_size = reader.size(patches, 4, 2);
  const int64_t positions = reader.size(root + "embeddings.position_embedding.weight", 2, 0) - 1;
  const auto side = std::llround(std::sqrt(static_cast<double>(std::max<int64_t>(positions, 0))));
  if (side < 1 || side * side != positions || side > (1 << 14) || c.patch_size > (1 << 14)) {
    throw bad_input("CLIP vision model", "1 + a square number of positions",
                    std::to_string(positions + 1));
  }
  c.image_size = side * c.patch_size;
  c.num_hidden_layers = reader.count(root + "encoder.layers.");
  c.intermediate_size = reader.size(root + "encoder.layers.0.mlp.fc1.weight", 2, 0);
  if (c.hidden_size % kVisionHeadWidth != 0) {
    throw bad_input("width of the CLIP vision model", "a multiple of 64, the width of its heads",
                    std::to_string(c.hidden_size));
  }
  c.num_attention_heads = c.hidden_size / kVisionHeadWidth;
  c.projection_dim = reader.size("visual_projection.weight", 2, 0);
  c.validate();
  return c;
}

ClipVisionModel::ClipVisionModel(const ClipVisionConfig& config) : config_(config) {
  config_.validate();
  const ClipVisionConfig& c = config_;
  const auto norm = [&] {
    return torch::nn::LayerNorm(torch::nn::LayerNormOptions({c.hidden_size}).eps(c.layer_norm_eps));
  };
  auto embeddings = std::make_shared<torch::nn::Module>("CLIPVisionEmbeddings");
  const at::Tensor start = at::empty({c.hidden_size}).normal_();
  class_embedding_ = embeddings->register_parameter("class_embedding", start);
  patches_ = embeddings->register_module(
      "patch_embedding",
      Conv2d(c.num_channels, c.hidden_size, c.patch_size, ConvShape{.stride = c.patch_size},
             /*has_bias=*/false));
  const int64_t side = c.image_size / c.patch_size;
  positions_ = embeddings->register_module("position_embedding",
                                           torch::nn::Embedding(side * side + 1, c.hidden_size));
  auto vision_model = std::make_shared<torch::nn::Module>("CLIPVisionTransformer");
  vision_model->register_module("embeddings", embeddings);
  pre_norm_ = vision_model->register_module("pre_layrnorm", norm());
  encoder_ = vision_model->register_module(
      "encoder", ClipEncoder(ClipLayerShape{c.hidden_size, c.intermediate_size,
                                            c.num_attention_heads, c.layer_norm_eps, c.hidden_act},
                             c.num_hidden_layers));
  post_norm_ = vision_model->register_module("post_layernorm", norm());
  register_module("vision_model", vision_model);
  projection_ = register_module("visual_projection",
                                Linear(c.hidden_size, c.projection_dim, /*has_bias=*/false));
}

ClipVisionOutput ClipVisionModel::forward(const at::Tensor& pixels, const TraceFn& trace) {
  const ClipVisionConfig& c = config_;
  if (!pixels.defined() || pixels.dim() != 4 || pixels.size(0) < 1 ||
      pixels.sizes().slice(1) != at::IntArrayRef({c.num_channels, c.image_size, c.image_size})) {
    const std::string side = std::to_string(c.image_size);
    throw bad_input("pixels of the CLIP vision model",
                    "[B," + std::to_string(c.num_channels) + "," + side + "," + side + "]",
                    pixels.defined() ? c10::str(pixels.sizes()) : "nothing");
  }
  const Scope vision_model = Scope(&trace).in("vision_model");
  const at::Tensor cells = patches_(pixels.to(patches_->weight.options())).flatten(2);
  const at::Tensor first = class_embedding_.expand({pixels.size(0), 1, -1});
  at::Tensor x = at::cat({first, cells.transpose(1, 2)}, 1) + positions_->weight;
  x = vision_model.in("embeddings").out(x);
  x = vision_model.in("pre_layrnorm").out(pre_norm_(x));
  ClipVisionOutput out;
  out.last_hidden =
      encoder_->forward(x, /*causal=*/false, /*states=*/nullptr, vision_model.in("encoder"));
  const at::Tensor pooled =
      vision_model.in("post_layernorm").out(post_norm_(out.last_hidden.select(1, 0)));
  out.image_embeds = projection_(pooled);
  return out;
}

at::Tensor clip_pixels(const at::Tensor& image, int64_t size) {
  check_picture(image, size);
  const int64_t height = image.size(2), width = image.size(3);
  const int64_t shorter = std::min(height, width);
  // The longer side is cut to an integer, as int() does in transformers.
  const int64_t new_height = height == shorter ? size : size * height / shorter;
  const int64_t new_width = width == shorter ? size : size * width / shorter;
  const at::Tensor x = resized_bytes(image, new_height, new_width);
  return normalised_bytes(
      x.narrow(2, (new_height - size) / 2, size).narrow(3, (new_width - size) / 2, size));
}

at::Tensor clip_pixels_stretched(const at::Tensor& image, int64_t size) {
  check_picture(image, size);
  return normalised_bytes(resized_bytes(image, size, size));
}

}  // namespace pangu::nn
