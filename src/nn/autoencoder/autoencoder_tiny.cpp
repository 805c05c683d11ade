// AutoencoderTiny: two plain lists of convolutions and residual blocks. As in diffusers, layers
// without weights (activations, upsampling) take a number in the list, too.
#include "nn/autoencoder/autoencoder_tiny.h"

#include <torch/nn.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_reader.h"
#include "nn/conv.h"
#include "nn/shape_reader.h"

namespace pangu::nn {
namespace {

constexpr char kTinyConfig[] = "tiny autoencoder config";
// bound of the decoder's soft clamp, of the released models
constexpr double kLatentMagnitude = 3.0;
constexpr int64_t kMostBlocks = 1 << 10, kMostWidth = 1 << 14, kMostLevels = 16;

Conv2d tiny_conv3x3(int64_t in, int64_t out, int64_t stride = 1, bool has_bias = true) {
  return same_conv2d(in, out, 3, stride, has_bias);
}

// relu(x + conv(relu(conv(relu(conv x)))))
struct Block : torch::nn::Module {
  Conv2d first{nullptr}, second{nullptr}, third{nullptr};

  explicit Block(int64_t width) {
    auto conv = std::make_shared<torch::nn::Module>("Sequential");
    first = conv->register_module("0", tiny_conv3x3(width, width));
    second = conv->register_module("2", tiny_conv3x3(width, width));
    third = conv->register_module("4", tiny_conv3x3(width, width));
    register_module("conv", conv);
  }

  at::Tensor forward(const at::Tensor& x) {
    const Epilogue relu{.activation = Activation::kRelu};
    const at::Tensor inner = second->forward(first->forward(x, {}, relu), {}, relu);
    return at::relu(third->forward(inner, {}, {.residual = x}));
  }
};

// An encoder or a decoder: a list of steps under "layers".
struct Half : torch::nn::Module {
  std::shared_ptr<torch::nn::Module> layers = std::make_shared<torch::nn::Module>("Sequential");
  std::vector<std::function<at::Tensor(const at::Tensor&)>> steps;

  Half() { register_module("layers", layers); }

  void add(Conv2d conv) {
    layers->register_module(std::to_string(steps.size()), conv);
    steps.emplace_back([conv](const at::Tensor& x) mutable { return conv(x); });
  }
  void add_block(int64_t width) {
    auto block = std::make_shared<Block>(width);
    layers->register_module(std::to_string(steps.size()), block);
    steps.emplace_back([block](const at::Tensor& x) { return block->forward(x); });
  }
  at::Tensor forward(at::Tensor x) {
    for (const auto& step : steps) x = step(x);
    return x;
  }
};

std::shared_ptr<Half> make_encoder(const AutoencoderTinyConfig& c) {
  auto half = std::make_shared<Half>();
  const int64_t width = c.encoder_width;
  for (size_t level = 0; level < c.num_encoder_blocks.size(); ++level) {
    half->add(level == 0 ? tiny_conv3x3(c.in_channels, width)
                         : tiny_conv3x3(width, width, 2, false));
    for (int64_t i = 0; i < c.num_encoder_blocks[level]; ++i) half->add_block(width);
  }
  half->add(tiny_conv3x3(width, c.latent_channels));
  return half;
}

std::shared_ptr<Half> make_decoder(const AutoencoderTinyConfig& c) {
  auto half = std::make_shared<Half>();
  const int64_t width = c.decoder_width;
  half->add(tiny_conv3x3(c.latent_channels, width));
  half->steps.emplace_back([](const at::Tensor& x) { return at::relu(x); });
  for (size_t level = 0; level < c.num_decoder_blocks.size(); ++level) {
    for (int64_t i = 0; i < c.num_decoder_blocks[level]; ++i) half->add_block(width);
    if (level + 1 == c.num_decoder_blocks.size()) {
      half->add(tiny_conv3x3(width, c.out_channels));
    } else {
      half->steps.emplace_back([](const at::Tensor& x) {
        return at::upsample_nearest2d(x, {x.size(2) * 2, x.size(3) * 2});
      });
      half->add(tiny_conv3x3(width, width, 1, false));
    }
  }
  return half;
}

Error tiny_key_error(const std::string& key, const std::string& expected,
                     const std::string& found) {
  return bad_input(std::string(kTinyConfig) + ", key '" + key + "'", expected, found);
}

// The numbers of blocks between the convolutions of a list, read off the names. `first` is the
// index at which the list begins.
std::vector<int64_t> blocks_between(const ShapeReader& reader, const std::string& prefix,
                                    int64_t first, int64_t last) {
  std::vector<int64_t> blocks = {0};
  for (int64_t i = first; i < last; ++i) {
    const std::string layer = prefix + std::to_string(i) + ".";
    if (reader.has(layer + "conv.0.weight")) {
      ++blocks.back();
    } else if (reader.has(layer + "weight")) {
      blocks.push_back(0);
    }
  }
  return blocks;
}

void check_input(const at::Tensor& x, int64_t channels, const std::string& what) {
  if (x.defined() && x.dim() == 4 && x.size(1) == channels && x.numel() > 0) return;
  throw bad_input(what + " of the tiny autoencoder", "[B," + std::to_string(channels) + ",H,W]",
                  x.defined() ? c10::str(x.sizes()) : "nothing");
}

at::Tensor run(const std::shared_ptr<torch::nn::Module>& half, const at::Tensor& x) {
  return half->as<Half>()->forward(x.contiguous(at::MemoryFormat::ChannelsLast));
}

}  // namespace

AutoencoderTinyConfig AutoencoderTinyConfig::from_json(const nlohmann::json& json) {
  AutoencoderTinyConfig c;
  JsonReader reader(kTinyConfig, json);
  reader.read("in_channels", c.in_channels);
  reader.read("out_channels", c.out_channels);
  reader.read("latent_channels", c.latent_channels);
  reader.read("num_encoder_blocks", c.num_encoder_blocks);
  reader.read("num_decoder_blocks", c.num_decoder_blocks);
  reader.read("scaling_factor", c.scaling_factor);
  reader.read("shift_factor", c.shift_factor);
  reader.only("_class_name", {"AutoencoderTiny"});
  reader.only("act_fn", {"relu"});
  reader.only("upsample_fn", {"nearest"});
  reader.only("upsampling_scaling_factor", {2});
  const auto read_width = [&](const char* key, int64_t& width, size_t levels) {
    std::vector<int64_t> widths(levels, width);
    reader.read(key, widths);
    if (widths.size() != levels || levels == 0 ||
        std::any_of(widths.begin(), widths.end(), [&](int64_t w) { return w != widths.front(); })) {
      throw tiny_key_error(key, "one width, as many times as there are levels",
                           nlohmann::json(widths).dump());
    }
    width = widths.front();
  };
  read_width("encoder_block_out_channels", c.encoder_width, c.num_encoder_blocks.size());
  read_width("decoder_block_out_channels", c.decoder_width, c.num_decoder_blocks.size());
  // Keys about how latents become bytes in files of latents, and a key that repeats the two lists
  // of widths.
  for (const char* key :
       {"latent_magnitude", "latent_shift", "force_upcast", "block_out_channels"}) {
    reader.passes(key);
  }
  reader.refuse_unread();
  c.validate();
  return c;
}

nlohmann::json AutoencoderTinyConfig::to_json() const {
  return {{"_class_name", "AutoencoderTiny"},
          {"in_channels", in_channels},
          {"out_channels", out_channels},
          {"latent_channels", latent_channels},
          {"encoder_block_out_channels",
           std::vector<int64_t>(num_encoder_blocks.size(), encoder_width)},
          {"decoder_block_out_channels",
           std::vector<int64_t>(num_decoder_blocks.size(), decoder_width)},
          {"num_encoder_blocks", num_encoder_blocks},
          {"num_decoder_blocks", num_decoder_blocks},
          {"act_fn", "relu"},
          {"upsample_fn", "nearest"},
          {"upsampling_scaling_factor", 2},
          {"scaling_factor", scaling_factor},
          {"shift_factor", shift_factor}};
}

void AutoencoderTinyConfig::validate() const {
  const auto in_range = [](const char* key, int64_t value, int64_t low, int64_t high) {
    if (value >= low && value <= high) return;
    throw tiny_key_error(key, std::to_string(low) + ".." + std::to_string(high),
                         std::to_string(value));
  };
  in_range("in_channels", in_channels, 1, kMostWidth);
  in_range("out_channels", out_channels, 1, kMostWidth);
  in_range("latent_channels", latent_channels, 1, kMostWidth);
  in_range("encoder_block_out_channels", encoder_width, 1, kMostWidth);
  in_range("decoder_block_out_channels", decoder_width, 1, kMostWidth);
  for (const auto& [key, blocks] : {std::pair("num_encoder_blocks", &num_encoder_blocks),
                                    {"num_decoder_blocks", &num_decoder_blocks}}) {
    in_range(key, static_cast<int64_t>(blocks->size()), 1, kMostLevels);
    for (const int64_t count : *blocks) in_range(key, count, 0, kMostBlocks);
  }
  if (has_encoder && has_decoder && num_encoder_blocks.size() != num_decoder_blocks.size()) {
    throw tiny_key_error("num_decoder_blocks", "as many levels as num_encoder_blocks has",
                         std::to_string(num_decoder_blocks.size()));
  }
  if (!has_encoder && !has_decoder) {
    throw bad_input("tiny autoencoder", "an encoder or a decoder", "neither");
  }
  if (!(scaling_factor > 0)) {
    throw tiny_key_error("scaling_factor", "a positive number", std::to_string(scaling_factor));
  }
}

int64_t AutoencoderTinyConfig::downscale() const {
  return int64_t{1} << ((has_decoder ? num_decoder_blocks : num_encoder_blocks).size() - 1);
}

AutoencoderTinyConfig autoencoder_tiny_config_from_shapes(const TensorShapes& shapes) {
  const ShapeReader reader("tiny autoencoder", shapes);
  const auto last_of = [&](const std::string& prefix) {
    for (int64_t i = kMostLevels * kMostBlocks; i >= 0; --i) {
      if (reader.has(prefix + std::to_string(i) + ".weight")) return i;
    }
    throw bad_input("tiny autoencoder", "convolutions '" + prefix + "N.weight'", "none");
  };
  AutoencoderTinyConfig c;
  c.has_encoder = reader.has_prefix("encoder.layers.");
  c.has_decoder = reader.has_prefix("decoder.layers.");
  if (c.has_encoder) {
    const std::string prefix = "encoder.layers.";
    const int64_t last = last_of(prefix);
    c.encoder_width = reader.size(prefix + "0.weight", 4, 0);
    c.in_channels = reader.size(prefix + "0.weight", 4, 1);
    c.latent_channels = reader.size(prefix + std::to_string(last) + ".weight", 4, 0);
    c.num_encoder_blocks = blocks_between(reader, prefix, 1, last);
  }
  if (c.has_decoder) {
    const std::string prefix = "decoder.layers.";
    const int64_t last = last_of(prefix);
    c.decoder_width = reader.size(prefix + "0.weight", 4, 0);
    c.latent_channels = reader.size(prefix + "0.weight", 4, 1);
    c.out_channels = reader.size(prefix + std::to_string(last) + ".weight", 4, 0);
    c.num_decoder_blocks = blocks_between(reader, prefix, 1, last);
  }
  c.validate();
  return c;
}

AutoencoderTiny::AutoencoderTiny(const AutoencoderTinyConfig& config) : config_(config) {
  config_.validate();
  if (config_.has_encoder) encoder_ = register_module("encoder", make_encoder(config_));
  if (config_.has_decoder) decoder_ = register_module("decoder", make_decoder(config_));
}

at::Tensor AutoencoderTiny::encode(const at::Tensor& image) {
  if (!encoder_) throw bad_input("tiny autoencoder", "an encoder", "a decoder only");
  check_input(image, config_.in_channels, "image");
  return run(encoder_, (image + 1) / 2);  // these networks take pictures in [0,1]
}

at::Tensor AutoencoderTiny::decode(const at::Tensor& latent) {
  if (!decoder_) throw bad_input("tiny autoencoder", "a decoder", "an encoder only");
  check_input(latent, config_.latent_channels, "latent");
  return run(decoder_, at::tanh(latent / kLatentMagnitude) * kLatentMagnitude) * 2 - 1;
}

at::Tensor AutoencoderTiny::scale(const at::Tensor& latent) const {
  return (latent - config_.shift_factor) * config_.scaling_factor;
}

at::Tensor AutoencoderTiny::unscale(const at::Tensor& latent) const {
  return latent / config_.scaling_factor + config_.shift_factor;
}

}  // namespace pangu::nn
