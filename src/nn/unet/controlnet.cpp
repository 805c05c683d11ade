// ControlNet: a UNet's downward half with an embedding of the picture in front and 1x1 convolutions
// behind.
#include "nn/unet/controlnet.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/container/modulelist.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_reader.h"
#include "nn/shape_reader.h"
#include "nn/unet/unet_from_shapes.h"
#include "nn/unet/unet_shapes.h"

namespace pangu::nn {
namespace {

constexpr char kControlNetConfig[] = "ControlNet config";
constexpr double kGuessFinest = -1.0;  // log10 of the finest residual's weight in guess mode

}  // namespace

ControlNetConfig ControlNetConfig::from_json(const nlohmann::json& json) {
  ControlNetConfig c;
  JsonReader reader(kControlNetConfig, json);
  std::string order = "rgb";
  reader.read("conditioning_channels", c.conditioning_channels);
  reader.read("conditioning_embedding_out_channels", c.conditioning_embedding_out_channels);
  reader.read("global_pool_conditions", c.global_pool_conditions);
  reader.read("controlnet_conditioning_channel_order", order);
  if (order != "rgb" && order != "bgr") {
    throw reader.error("controlnet_conditioning_channel_order", "rgb or bgr", order);
  }
  c.bgr = order == "bgr";

  nlohmann::json rest = json;
  reader.only("_class_name", {"ControlNetModel"});
  for (const char* own :
       {"_class_name", "conditioning_channels", "conditioning_embedding_out_channels",
        "global_pool_conditions", "controlnet_conditioning_channel_order"}) {
    rest.erase(own);
  }
  // A ControlNet's configuration may, unlike a UNet's, have the number of heads as
  // num_attention_heads.
  if (const auto heads = rest.find("num_attention_heads");
      heads != rest.end() && !heads->is_null()) {
    rest["attention_head_dim"] = *heads;
    rest.erase("num_attention_heads");
  }
  std::vector<std::string> downs = UNetConfig{}.down_block_types;
  reader.read("down_block_types", downs);
  std::vector<std::string> ups;
  for (auto down = downs.rbegin(); down != downs.rend(); ++down) {
    ups.emplace_back(*down == "DownBlock2D" ? "UpBlock2D" : "CrossAttnUpBlock2D");
  }
  rest["up_block_types"] = ups;
  try {
    c.unet = unet_config_from_json(rest);
  } catch (const Error& problem) {
    throw while_doing("reading a ControlNet's configuration", problem);
  }
  c.validate();
  return c;
}

nlohmann::json ControlNetConfig::to_json() const {
  nlohmann::json json = nn::to_json(unet);
  for (const char* upward : {"sample_size", "out_channels", "up_block_types", "conv_in_kernel",
                             "conv_out_kernel", "time_embedding_type"}) {
    json.erase(upward);
  }
  json["_class_name"] = "ControlNetModel";
  json["conditioning_channels"] = conditioning_channels;
  json["conditioning_embedding_out_channels"] = conditioning_embedding_out_channels;
  json["controlnet_conditioning_channel_order"] = bgr ? "bgr" : "rgb";
  json["global_pool_conditions"] = global_pool_conditions;
  return json;
}

void ControlNetConfig::validate() const {
  constexpr int64_t kMostWidth = 1 << 14, kMostLevels = 8;
  unet.validate();
  const auto in_range = [](const char* key, int64_t value, int64_t high) {
    if (value >= 1 && value <= high) return;
    throw bad_input(std::string(kControlNetConfig) + ", key '" + key + "'",
                    "1.." + std::to_string(high), std::to_string(value));
  };
  in_range("conditioning_channels", conditioning_channels, kMostWidth);
  in_range("conditioning_embedding_out_channels (levels)",
           static_cast<int64_t>(conditioning_embedding_out_channels.size()), kMostLevels);
  for (const int64_t width : conditioning_embedding_out_channels) {
    in_range("conditioning_embedding_out_channels", width, kMostWidth);
  }
  if (!unet.mid_block_type) {
    throw bad_input(std::string(kControlNetConfig) + ", key 'mid_block_type'", "a middle block",
                    "null");
  }
}

int64_t ControlNetConfig::downscale() const {
  return int64_t{1} << (conditioning_embedding_out_channels.size() - 1);
}

ControlNetConfig controlnet_config_from_shapes(const TensorShapes& shapes) {
  const ShapeReader reader("ControlNet", shapes);
  ControlNetConfig c;
  c.unet = down_half_config_from_shapes(shapes);
  const std::string picture = "controlnet_cond_embedding.";
  c.conditioning_channels = reader.size(picture + "conv_in.weight", 4, 1);
  c.conditioning_embedding_out_channels = {reader.size(picture + "conv_in.weight", 4, 0)};
  // A level has two convolutions; the second widens.
  const int64_t blocks = reader.count(picture + "blocks.");
  for (int64_t i = 1; i < blocks; i += 2) {
    const std::string name = picture + "blocks." + std::to_string(i) + ".weight";
    c.conditioning_embedding_out_channels.push_back(reader.size(name, 4, 0));
  }
  c.validate();
  return c;
}

void add_residuals(ControlResiduals& residuals, const ControlResiduals& more) {
  if (residuals.down.empty() && !residuals.mid.defined()) {
    residuals = more;
    return;
  }
  if (residuals.down.size() != more.down.size()) {
    throw bad_input("ControlNets used together", "all made for the same network",
                    std::to_string(residuals.down.size()) + " and " +
                        std::to_string(more.down.size()) + " residuals");
  }
  const auto add = [](const at::Tensor& a, const at::Tensor& b) {
    if (a.sizes().slice(0, 2) != b.sizes().slice(0, 2)) {
      throw bad_input("ControlNets used together", "all made for the same network",
                      c10::str("residuals of ", a.sizes(), " and ", b.sizes()));
    }
    return a + b;
  };
  for (size_t i = 0; i < more.down.size(); ++i) {
    residuals.down[i] = add(residuals.down[i], more.down[i]);
  }
  if (more.mid.defined()) residuals.mid = add(residuals.mid, more.mid);
}

ControlNetModel::ControlNetModel(const ControlNetConfig& config) : config_(config) {
  config_.validate();
  const UNetConfig& c = config_.unet;
  const int64_t first = c.block_out_channels.front();
  conv_in_ = register_module("conv_in", same_conv2d(c.in_channels, first, c.conv_in_kernel));
  embeddings_.build(*this, c);

  const std::vector<int64_t>& widths = config_.conditioning_embedding_out_channels;
  auto picture = std::make_shared<torch::nn::Module>("ControlNetConditioningEmbedding");
  picture_in_ = picture->register_module(
      "conv_in", same_conv2d(config_.conditioning_channels, widths.front(), 3));
  torch::nn::ModuleList blocks;
  for (size_t i = 0; i + 1 < widths.size(); ++i) {
    picture_blocks_.push_back(same_conv2d(widths[i], widths[i], 3));
    picture_blocks_.push_back(same_conv2d(widths[i], widths[i + 1], 3, 2));
  }
  for (auto& block : picture_blocks_) blocks->push_back(block);
  picture->register_module("blocks", blocks);
  picture_out_ = picture->register_module("conv_out", same_conv2d(widths.back(), first, 3));
  register_module("controlnet_cond_embedding", picture);

  torch::nn::ModuleList downs, residuals;
  const auto add_residual = [&](int64_t width) {
    residual_convs_.push_back(same_conv2d(width, width, 1));
    residuals->push_back(residual_convs_.back());
  };
  add_residual(first);
  for (int64_t level = 0; level < c.levels(); ++level) {
    const BlockShape shape = down_shape(c, level);
    down_blocks_.emplace_back(shape);
    downs->push_back(down_blocks_.back());
    const size_t states = shape.resnets.size() + (shape.resamples ? 1 : 0);
    for (size_t i = 0; i < states; ++i) add_residual(shape.resnets.back().out);
  }
  register_module("down_blocks", downs);
  register_module("controlnet_down_blocks", residuals);
  mid_block_ = register_module("mid_block", MidBlock(mid_shape(c)));
  const int64_t last = c.block_out_channels.back();
  mid_conv_ = register_module("controlnet_mid_block", same_conv2d(last, last, 1));
}

at::Tensor ControlNetModel::embed_picture(const at::Tensor& picture) {
  at::Tensor x = config_.bgr ? picture.flip(1) : picture;
  x = x.to(conv_in_->weight.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
  const Epilogue silu{.activation = Activation::kSilu};
  x = picture_in_->forward(x, {}, silu);
  for (auto& block : picture_blocks_) x = block->forward(x, {}, silu);
  return picture_out_(x);
}

ControlResiduals ControlNetModel::forward(const at::Tensor& sample, const at::Tensor& t_index,
                                          const at::Tensor& context, const at::Tensor& picture,
                                          const UNetExtras& extras, const Options& options) {
  embeddings_.check_sample(sample, t_index);
  embeddings_.check_conditions(context, extras, sample.size(0));
  const int64_t batch = sample.size(0), factor = config_.downscale();
  const int64_t channels = config_.conditioning_channels;
  const int64_t height = sample.size(2) * factor, width = sample.size(3) * factor;
  if (!picture.defined() || picture.dim() != 4 ||
      (picture.size(0) != batch && picture.size(0) != 1) ||
      picture.sizes().slice(1) != at::IntArrayRef({channels, height, width})) {
    throw bad_input("picture for the ControlNet",
                    c10::str("[", batch, ",", channels, ",", height, ",", width, "]"),
                    picture.defined() ? c10::str(picture.sizes()) : "nothing");
  }
  const auto dtype = conv_in_->weight.scalar_type();
  const Scope root(&extras.trace);
  UNetConditions conditions =
      embeddings_.forward(t_index, batch, embeddings_.prepare(context, extras, dtype), root, dtype);
  conditions.recomputes = extras.recomputes;
  at::Tensor x = sample.to(dtype).contiguous(at::MemoryFormat::ChannelsLast);
  x = root.in("conv_in").out(conv_in_(x));
  x = x + root.in("controlnet_cond_embedding").out(embed_picture(picture));
  std::vector<at::Tensor> skips = {x};
  const size_t states = residual_convs_.size();
  const size_t wanted = options.depth > 0 ? static_cast<size_t>(options.depth) : states;
  for (size_t i = 0; i < down_blocks_.size() && skips.size() < wanted; ++i) {
    x = down_blocks_[i]->forward(x, conditions, skips, root.in("down_blocks", i), wanted);
  }
  if (options.depth == 0) x = mid_block_->forward(x, conditions, root.in("mid_block"));

  ControlResiduals out;
  for (size_t i = 0; i < skips.size(); ++i) {
    out.down.push_back(root.in("controlnet_down_blocks", i).out(residual_convs_[i](skips[i])));
  }
  if (options.depth == 0) out.mid = root.in("controlnet_mid_block").out(mid_conv_(x));
  const bool fades = options.guess_mode && !config_.global_pool_conditions;
  const auto finish = [&](at::Tensor& residual, size_t index) {
    const double part = static_cast<double>(index) / static_cast<double>(states);
    const double fade = fades ? std::pow(10.0, kGuessFinest * (1.0 - part)) : 1.0;
    if (options.scale * fade != 1.0) residual = residual * (options.scale * fade);
    if (config_.global_pool_conditions) residual = residual.mean({2, 3}, /*keepdim=*/true);
  };
  for (size_t i = 0; i < out.down.size(); ++i) finish(out.down[i], i);
  if (out.mid.defined()) finish(out.mid, states);
  return out;
}

}  // namespace pangu::nn
