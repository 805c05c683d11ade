#include "nn/autoencoder/autoencoder_kl.h"

#include <torch/nn.h>

#include <algorithm>
#include <climits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_reader.h"
#include "nn/attention.h"
#include "nn/conv.h"
#include "nn/linear.h"

namespace pangu::nn {
namespace {

namespace F = torch::nn::functional;

constexpr double kNormEps = 1e-6;  // LDM's autoencoder; the UNet's own is 1e-5

torch::nn::GroupNorm norm_of(int groups, int channels) {
  return torch::nn::GroupNorm(torch::nn::GroupNormOptions(groups, channels).eps(kNormEps));
}

Prologue silu_of(const torch::nn::GroupNorm& norm) {
  return {.group_norm = norm, .activation = Activation::kSilu};
}

// x + conv2(silu(norm2(conv1(silu(norm1(x)))))), with a 1x1 shortcut where the width changes.
struct ResnetBlock : torch::nn::Module {
  torch::nn::GroupNorm norm1{nullptr}, norm2{nullptr};
  Conv2d conv1{nullptr}, conv2{nullptr}, conv_shortcut{nullptr};

  ResnetBlock(int in, int out, int groups) {
    norm1 = register_module("norm1", norm_of(groups, in));
    conv1 = register_module("conv1", same_conv2d(in, out, 3));
    norm2 = register_module("norm2", norm_of(groups, out));
    conv2 = register_module("conv2", same_conv2d(out, out, 3));
    if (in != out) conv_shortcut = register_module("conv_shortcut", same_conv2d(in, out, 1));
  }

  at::Tensor forward(const at::Tensor& x, const Watch& watch) {
    const at::Tensor h = conv1->forward(x, silu_of(norm1));
    watch.check();
    return conv2->forward(h, silu_of(norm2), {.residual = conv_shortcut ? conv_shortcut(x) : x});
  }
};

// One attention head over all positions of the lowest level.
struct PixelAttention : torch::nn::Module {
  torch::nn::GroupNorm norm{nullptr};
  Linear to_q{nullptr}, to_k{nullptr}, to_v{nullptr}, to_out{nullptr};

  PixelAttention(int channels, int groups) {
    norm = register_module("group_norm", norm_of(groups, channels));
    to_q = register_module("to_q", Linear(channels, channels));
    to_k = register_module("to_k", Linear(channels, channels));
    to_v = register_module("to_v", Linear(channels, channels));
    to_out = Linear(channels, channels);
    register_module("to_out", torch::nn::ModuleList(to_out));
  }

  at::Tensor forward(const at::Tensor& x) {
    const auto b = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
    // [B,C,H,W] channels-last -> [B,HW,C] is a view.
    const at::Tensor tokens =
        before_product(x, {.group_norm = norm}).permute({0, 2, 3, 1}).reshape({b, h * w, c});
    // Packed weights multiply in bf16 whatever they return, and so does the attention between them.
    const auto narrow = [&](const at::Tensor& t) {
      return to_q->packed() ? t.to(at::kBFloat16) : t;
    };
    const at::Tensor out =
        to_out(attention(narrow(to_q(tokens)), narrow(to_k(tokens)), narrow(to_v(tokens)), {}));
    return x + out.reshape({b, h, w, c}).permute({0, 3, 1, 2});
  }
};

struct MidBlock : torch::nn::Module {
  torch::nn::ModuleList resnets{nullptr}, attentions{nullptr};

  MidBlock(int channels, int groups, bool attention) {
    resnets = register_module("resnets", torch::nn::ModuleList());
    resnets->push_back(ResnetBlock(channels, channels, groups));
    resnets->push_back(ResnetBlock(channels, channels, groups));
    if (attention) {
      attentions = register_module("attentions", torch::nn::ModuleList());
      attentions->push_back(PixelAttention(channels, groups));
    }
  }

  at::Tensor forward(at::Tensor x, const Watch& watch) {
    x = resnets[0]->as<ResnetBlock>()->forward(x, watch);
    watch.check();
    if (attentions) x = attentions[0]->as<PixelAttention>()->forward(x);
    watch.check();
    return resnets[1]->as<ResnetBlock>()->forward(x, watch);
  }
};

struct Resampler : torch::nn::Module {
  Conv2d conv{nullptr};
  bool down;

  Resampler(int channels, bool down) : down(down) {
    conv = register_module("conv", down ? Conv2d(channels, channels, 3, ConvShape{.stride = 2})
                                        : enlarging_conv2d(channels));
  }

  at::Tensor forward(const at::Tensor& x) {
    // Downsampling pads right and bottom only (LDM).
    if (down) return conv(F::pad(x, F::PadFuncOptions({0, 1, 0, 1})));
    return conv->forward(x, {.doubles = true});
  }
};

// `layers` resnets and, except at the last level, one resampler.
struct Level : torch::nn::Module {
  torch::nn::ModuleList resnets{nullptr}, resamplers{nullptr};

  Level(int in, int out, int layers, int groups, bool resample, bool down) {
    resnets = register_module("resnets", torch::nn::ModuleList());
    for (int i = 0; i < layers; ++i) resnets->push_back(ResnetBlock(i ? out : in, out, groups));
    if (resample) {
      resamplers = register_module(down ? "downsamplers" : "upsamplers", torch::nn::ModuleList());
      resamplers->push_back(Resampler(out, down));
    }
  }

  at::Tensor forward(at::Tensor x, const Watch& watch) {
    for (const auto& resnet : *resnets) {
      x = resnet->as<ResnetBlock>()->forward(x, watch);
      watch.check();
    }
    return resamplers ? resamplers[0]->as<Resampler>()->forward(x) : x;
  }
};

struct Encoder : torch::nn::Module {
  Conv2d conv_in{nullptr}, conv_out{nullptr};
  torch::nn::ModuleList down_blocks{nullptr};
  std::shared_ptr<MidBlock> mid_block;
  torch::nn::GroupNorm conv_norm_out{nullptr};

  explicit Encoder(const AutoencoderKLConfig& c) {
    const auto& widths = c.block_out_channels;
    conv_in = register_module("conv_in", same_conv2d(c.in_channels, widths.front(), 3));
    down_blocks = register_module("down_blocks", torch::nn::ModuleList());
    for (size_t i = 0; i < widths.size(); ++i) {
      down_blocks->push_back(Level(widths[i ? i - 1 : 0], widths[i], c.layers_per_block,
                                   c.norm_num_groups, i + 1 < widths.size(), true));
    }
    mid_block = register_module(
        "mid_block",
        std::make_shared<MidBlock>(widths.back(), c.norm_num_groups, c.mid_block_add_attention));
    conv_norm_out = register_module("conv_norm_out", norm_of(c.norm_num_groups, widths.back()));
    conv_out = register_module("conv_out", same_conv2d(widths.back(), 2 * c.latent_channels, 3));
  }

  at::Tensor forward(const at::Tensor& image, const Watch& watch) {
    at::Tensor h = conv_in(image);
    for (const auto& level : *down_blocks) h = level->as<Level>()->forward(h, watch);
    return conv_out->forward(mid_block->forward(h, watch), silu_of(conv_norm_out));
  }
};

struct Decoder : torch::nn::Module {
  Conv2d conv_in{nullptr}, conv_out{nullptr};
  std::shared_ptr<MidBlock> mid_block;
  torch::nn::ModuleList up_blocks{nullptr};
  torch::nn::GroupNorm conv_norm_out{nullptr};

  explicit Decoder(const AutoencoderKLConfig& c) {
    const std::vector<int> widths(c.block_out_channels.rbegin(), c.block_out_channels.rend());
    conv_in = register_module("conv_in", same_conv2d(c.latent_channels, widths.front(), 3));
    mid_block = register_module(
        "mid_block",
        std::make_shared<MidBlock>(widths.front(), c.norm_num_groups, c.mid_block_add_attention));
    up_blocks = register_module("up_blocks", torch::nn::ModuleList());
    for (size_t i = 0; i < widths.size(); ++i) {
      up_blocks->push_back(Level(widths[i ? i - 1 : 0], widths[i], c.layers_per_block + 1,
                                 c.norm_num_groups, i + 1 < widths.size(), false));
    }
    conv_norm_out = register_module("conv_norm_out", norm_of(c.norm_num_groups, widths.back()));
    conv_out = register_module("conv_out", same_conv2d(widths.back(), c.out_channels, 3));
  }

  at::Tensor forward(const at::Tensor& latent, const Watch& watch) {
    at::Tensor h = mid_block->forward(conv_in(latent), watch);
    for (const auto& level : *up_blocks) h = level->as<Level>()->forward(h, watch);
    return conv_out->forward(h, silu_of(conv_norm_out));
  }
};

void check_4d(const at::Tensor& x, int channels, const char* what) {
  if (x.dim() != 4 || x.size(1) != channels) {
    throw Error(ErrorCode::kInternal, std::string("autoencoder ") + what + ": expected [B," +
                                          std::to_string(channels) + ",H,W], found " +
                                          c10::str(x.sizes()));
  }
}

// Shapes one number a channel so that it broadcasts over latents [B,C,h,w].
at::Tensor channels_of(const std::vector<double>& numbers, const at::Tensor& latent) {
  return at::tensor(numbers, at::kDouble).to(latent.options()).view({1, -1, 1, 1});
}

void check_blocks(JsonReader& reader, const char* key, const char* type) {
  std::vector<std::string> types;
  reader.read(key, types);
  for (const std::string& found : types) {
    if (found != type) throw reader.error(key, std::string(type) + " alone", found);
  }
}

}  // namespace

AutoencoderKLConfig AutoencoderKLConfig::from_json(const nlohmann::json& json) {
  AutoencoderKLConfig c;
  JsonReader reader("vae/config.json", json);
  reader.only("_class_name", {"AutoencoderKL"});
  const auto as_int = [](int64_t value) {
    // validate() checks the range
    return static_cast<int>(std::clamp<int64_t>(value, INT_MIN, INT_MAX));
  };
  const auto read_int = [&](const char* key, int& field) {
    int64_t value = field;
    reader.read(key, value);
    field = as_int(value);
  };
  read_int("in_channels", c.in_channels);
  read_int("out_channels", c.out_channels);
  read_int("latent_channels", c.latent_channels);
  read_int("layers_per_block", c.layers_per_block);
  read_int("norm_num_groups", c.norm_num_groups);
  std::vector<int64_t> widths(c.block_out_channels.begin(), c.block_out_channels.end());
  reader.read("block_out_channels", widths);
  c.block_out_channels.clear();
  for (const int64_t width : widths) c.block_out_channels.push_back(as_int(width));
  reader.read("mid_block_add_attention", c.mid_block_add_attention);
  reader.read("use_quant_conv", c.use_quant_conv);
  reader.read("use_post_quant_conv", c.use_post_quant_conv);
  reader.read("scaling_factor", c.scaling_factor);
  reader.read("shift_factor", c.shift_factor);
  reader.read("latents_mean", c.latents_mean);
  reader.read("latents_std", c.latents_std);
  reader.only("act_fn", {"silu"});
  check_blocks(reader, "down_block_types", "DownEncoderBlock2D");
  check_blocks(reader, "up_block_types", "UpDecoderBlock2D");
  reader.passes("sample_size");   // the network takes any size
  reader.passes("force_upcast");  // concerns number types, which LoadOptions choose
  reader.passes("training");      // what `pangu-draw train` records of a training
  reader.refuse_unread();
  c.validate();
  return c;
}

nlohmann::json AutoencoderKLConfig::to_json() const {
  const size_t levels = block_out_channels.size();
  nlohmann::json keys = {
      {"_class_name", "AutoencoderKL"},
      {"act_fn", "silu"},
      {"in_channels", in_channels},
      {"out_channels", out_channels},
      {"latent_channels", latent_channels},
      {"block_out_channels", block_out_channels},
      {"down_block_types", std::vector<std::string>(levels, "DownEncoderBlock2D")},
      {"up_block_types", std::vector<std::string>(levels, "UpDecoderBlock2D")},
      {"layers_per_block", layers_per_block},
      {"norm_num_groups", norm_num_groups},
      {"mid_block_add_attention", mid_block_add_attention},
      {"use_quant_conv", use_quant_conv},
      {"use_post_quant_conv", use_post_quant_conv},
      {"scaling_factor", scaling_factor},
      {"shift_factor", shift_factor}};
  if (!latents_mean.empty()) {
    keys["latents_mean"] = latents_mean;
    keys["latents_std"] = latents_std;
  }
  return keys;
}

void AutoencoderKLConfig::validate() const {
  const auto in_range = [](const char* key, int value, int low, int high) {
    if (value < low || value > high) {
      throw bad_input(std::string("autoencoder config key '") + key + "'",
                      std::to_string(low) + ".." + std::to_string(high), std::to_string(value));
    }
  };
  in_range("in_channels", in_channels, 1, 64);
  in_range("out_channels", out_channels, 1, 64);
  in_range("latent_channels", latent_channels, 1, 1024);
  in_range("layers_per_block", layers_per_block, 1, 64);
  in_range("norm_num_groups", norm_num_groups, 1, 1024);
  in_range("block_out_channels (levels)", static_cast<int>(block_out_channels.size()), 1, 8);
  for (const int width : block_out_channels) {
    in_range("block_out_channels", width, 1, 16384);
    if (width % norm_num_groups != 0) {
      throw bad_input("autoencoder config key 'block_out_channels'",
                      "multiples of norm_num_groups = " + std::to_string(norm_num_groups),
                      std::to_string(width));
    }
  }
  if (!(scaling_factor > 0)) {
    throw bad_input("autoencoder config key 'scaling_factor'", "a positive number",
                    std::to_string(scaling_factor));
  }
  const bool positive = std::all_of(latents_std.begin(), latents_std.end(),
                                    [](double deviation) { return deviation > 0; });
  const size_t count = latents_mean.size();
  if (count != latents_std.size() || (count != 0 && count != size_t(latent_channels)) ||
      !positive) {
    throw bad_input(
        "autoencoder config keys 'latents_mean' and 'latents_std'",
        "a mean and a deviation above 0 for each of the " + std::to_string(latent_channels) +
            " latent channels, or neither",
        std::to_string(count) + " means and " + std::to_string(latents_std.size()) + " deviations");
  }
  if (count != 0 && shift_factor != 0) {
    throw bad_input("autoencoder config key 'shift_factor'", "0 beside latents_mean",
                    std::to_string(shift_factor));
  }
}

AutoencoderKL::AutoencoderKL(const AutoencoderKLConfig& config) : config_(config) {
  config_.validate();
  encoder_ = register_module("encoder", std::make_shared<Encoder>(config_));
  decoder_ = register_module("decoder", std::make_shared<Decoder>(config_));
  const int z = config_.latent_channels;
  if (config_.use_quant_conv) {
    quant_conv_ = register_module("quant_conv", Conv2d(2 * z, 2 * z, 1).ptr());
  }
  if (config_.use_post_quant_conv) {
    post_quant_conv_ = register_module("post_quant_conv", Conv2d(z, z, 1).ptr());
  }
}

std::pair<at::Tensor, at::Tensor> AutoencoderKL::encode(const at::Tensor& image,
                                                        const Watch& watch) {
  check_4d(image, config_.in_channels, "input");
  at::Tensor h = encoder_->as<Encoder>()->forward(image, watch);
  if (quant_conv_) h = quant_conv_->as<Conv2dImpl>()->forward(h);
  const auto halves = h.chunk(2, 1);
  return {halves[0], halves[1].clamp(-30.0, 20.0)};
}

at::Tensor AutoencoderKL::decode(const at::Tensor& latent, const Watch& watch) {
  check_4d(latent, config_.latent_channels, "latent");
  at::Tensor h = latent;
  if (post_quant_conv_) h = post_quant_conv_->as<Conv2dImpl>()->forward(h);
  return decoder_->as<Decoder>()->forward(h, watch);
}

at::Tensor AutoencoderKL::scale(const at::Tensor& latent) const {
  if (!config_.latents_mean.empty()) {
    return scale_deviation(latent - channels_of(config_.latents_mean, latent));
  }
  return (latent - config_.shift_factor) * config_.scaling_factor;
}

at::Tensor AutoencoderKL::unscale(const at::Tensor& latent) const {
  if (!config_.latents_mean.empty()) {
    return latent * channels_of(config_.latents_std, latent) / config_.scaling_factor +
           channels_of(config_.latents_mean, latent);
  }
  return latent / config_.scaling_factor + config_.shift_factor;
}

at::Tensor AutoencoderKL::scale_deviation(const at::Tensor& deviation) const {
  const at::Tensor scaled = deviation * config_.scaling_factor;
  return config_.latents_std.empty() ? scaled
                                     : scaled / channels_of(config_.latents_std, deviation);
}

void init_linear_path(AutoencoderKL& network) {
  const at::NoGradGuard no_grad;
  for (const auto& item : network.named_parameters()) {
    const std::string& name = item.key();
    at::Tensor weight = item.value();
    const bool branch_end =
        name.find(".conv2.") != std::string::npos || name.find(".to_out.") != std::string::npos;
    if (branch_end) {
      weight.zero_();
    } else if (weight.dim() == 4 && name.find(".conv1.") == std::string::npos) {
      torch::nn::init::orthogonal_(weight);
    }
  }
}

}  // namespace pangu::nn
