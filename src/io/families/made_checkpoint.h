// Checkpoints in LDM's names for tests, made of shapes: UNets, autoencoders and text towers of
// every family, at any width.
#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "io/safetensors.h"
#include "io/weights_file.h"

namespace pangu::io::made {

// Of a UNet. The defaults are those of Stable Diffusion 1.
struct Shape {
  int64_t width = 320, context = 768, addition = 0, in_channels = 4;
  std::vector<int> multiples = {1, 2, 4, 4};
  std::vector<int> depths = {1, 1, 1, 0};  // transformer blocks of each level
  int middle = 1, layers = 2;
  bool linear = false;
};

// What is added is f16. With numbers every tensor has bytes of its own, all of them different from
// their neighbours; without them there is one byte for all, and only shapes may be read.
inline const std::byte nowhere{};
class Maker {
 public:
  explicit Maker(bool has_numbers = false) : has_numbers_(has_numbers) {}
  Maker(Maker&&) = default;  // tensors point into numbers_

  TensorViews tensors;
  void add(const std::string& name, std::vector<int64_t> shape) {
    const auto bytes = static_cast<size_t>(element_count(shape)) * 2;
    tensors[name] = {DType::F16, std::move(shape), has_numbers_ ? fresh(bytes) : &nowhere, bytes};
  }
  void module(const std::string& name, std::vector<int64_t> shape) {
    const int64_t out = shape[0];
    add(name + ".weight", std::move(shape));
    add(name + ".bias", {out});
  }

 private:
  const std::byte* fresh(size_t bytes) {
    std::vector<std::byte>& made = numbers_.emplace_back(bytes);
    for (std::byte& one : made) {
      state_ = state_ * 1664525 + 1013904223;  // Numerical Recipes' generator
      one = static_cast<std::byte>(state_ >> 24);
    }
    return made.data();
  }

  bool has_numbers_;
  std::deque<std::vector<std::byte>> numbers_;
  uint32_t state_ = 1;
};

inline void resnet(Maker& m, const std::string& p, int64_t in, int64_t out, int64_t time) {
  m.module(p + ".in_layers.0", {in});
  m.module(p + ".in_layers.2", {out, in, 3, 3});
  m.module(p + ".emb_layers.1", {out, time});
  m.module(p + ".out_layers.0", {out});
  m.module(p + ".out_layers.3", {out, out, 3, 3});
  if (in != out) m.module(p + ".skip_connection", {out, in, 1, 1});
}

inline void attention(Maker& m, const std::string& p, int64_t c, int depth, const Shape& s) {
  const std::vector<int64_t> projection =
      s.linear ? std::vector<int64_t>{c, c} : std::vector<int64_t>{c, c, 1, 1};
  m.module(p + ".norm", {c});
  m.module(p + ".proj_in", projection);
  m.module(p + ".proj_out", projection);
  for (int i = 0; i < depth; ++i) {
    const std::string b = p + ".transformer_blocks." + std::to_string(i) + ".";
    for (const char* norm : {"norm1", "norm2", "norm3"}) m.module(b + norm, {c});
    for (const char* attn : {"attn1.", "attn2."}) {
      const int64_t in = std::string(attn) == "attn1." ? c : s.context;
      m.add(b + attn + "to_q.weight", {c, c});
      m.add(b + attn + "to_k.weight", {c, in});
      m.add(b + attn + "to_v.weight", {c, in});
      m.module(b + attn + "to_out.0", {c, c});
    }
    m.module(b + "ff.net.0.proj", {8 * c, c});
    m.module(b + "ff.net.2", {c, 4 * c});
  }
}

inline void unet(Maker& m, const std::string& p, const Shape& s) {
  const int64_t time = 4 * s.width;
  const auto block = [&](const char* list, int i) { return p + list + std::to_string(i) + "."; };
  m.module(p + "time_embed.0", {time, s.width});
  m.module(p + "time_embed.2", {time, time});
  if (s.addition > 0) {
    m.module(p + "label_emb.0.0", {time, s.addition});
    m.module(p + "label_emb.0.2", {time, time});
  }
  m.module(p + "input_blocks.0.0", {s.width, s.in_channels, 3, 3});
  std::vector<int64_t> skips = {s.width};
  int64_t c = s.width;
  int index = 1;
  const size_t levels = s.multiples.size();
  for (size_t level = 0; level < levels; ++level) {
    for (int layer = 0; layer < s.layers; ++layer, ++index) {
      const int64_t out = s.width * s.multiples[level];
      resnet(m, block("input_blocks.", index) + "0", c, out, time);
      if (s.depths[level])
        attention(m, block("input_blocks.", index) + "1", out, s.depths[level], s);
      skips.push_back(c = out);
    }
    if (level + 1 == levels) break;
    m.module(block("input_blocks.", index++) + "0.op", {c, c, 3, 3});
    skips.push_back(c);
  }
  resnet(m, p + "middle_block.0", c, c, time);
  if (s.middle > 0) {
    attention(m, p + "middle_block.1", c, s.middle, s);
    resnet(m, p + "middle_block.2", c, c, time);
  }
  index = 0;
  for (size_t level = levels; level-- > 0;) {
    for (int layer = 0; layer <= s.layers; ++layer, ++index) {
      const int64_t out = s.width * s.multiples[level];
      resnet(m, block("output_blocks.", index) + "0", c + skips.back(), out, time);
      skips.pop_back();
      c = out;
      if (s.depths[level])
        attention(m, block("output_blocks.", index) + "1", c, s.depths[level], s);
      if (level > 0 && layer == s.layers) {
        m.module(block("output_blocks.", index) + (s.depths[level] ? "2.conv" : "1.conv"),
                 {c, c, 3, 3});
      }
    }
  }
  m.module(p + "out.0", {s.width});
  m.module(p + "out.2", {4, s.width, 3, 3});
}

// widths: from the finest level. layers: of a level of the encoder; the decoder has one more.
inline void vae(Maker& m, const std::string& p, const std::vector<int64_t>& widths, int layers) {
  const auto block = [&](const std::string& name, int64_t in, int64_t out) {
    m.module(name + ".norm1", {in});
    m.module(name + ".conv1", {out, in, 3, 3});
    m.module(name + ".norm2", {out});
    m.module(name + ".conv2", {out, out, 3, 3});
    if (in != out) m.module(name + ".nin_shortcut", {out, in, 1, 1});
  };
  const auto ends = [&](const std::string& half, int64_t in, int64_t first, int64_t last,
                        int64_t out) {
    const int64_t deep = widths.back();
    m.module(half + "conv_in", {first, in, 3, 3});
    for (const char* name : {"mid.block_1", "mid.block_2"}) block(half + name, deep, deep);
    m.module(half + "mid.attn_1.norm", {deep});
    for (const char* name : {"q", "k", "v", "proj_out"}) {
      m.module(half + "mid.attn_1." + name, {deep, deep, 1, 1});
    }
    m.module(half + "norm_out", {last});
    m.module(half + "conv_out", {out, last, 3, 3});
  };
  const int levels = static_cast<int>(widths.size());
  ends(p + "encoder.", 3, widths.front(), widths.back(), 8);
  ends(p + "decoder.", 4, widths.back(), widths.front(), 3);
  int64_t below = widths.front(), above = widths.back();
  for (int i = 0; i < levels; ++i) {
    const std::string down = p + "encoder.down." + std::to_string(i) + ".",
                      up = p + "decoder.up." + std::to_string(levels - 1 - i) + ".";
    const int64_t out = widths[static_cast<size_t>(i)],
                  up_out = widths[static_cast<size_t>(levels - 1 - i)];
    for (int layer = 0; layer <= layers; ++layer) {
      const std::string name = "block." + std::to_string(layer);
      if (layer < layers) block(down + name, layer ? out : below, out);
      block(up + name, layer ? up_out : above, up_out);
    }
    if (i + 1 < levels) m.module(down + "downsample.conv", {out, out, 3, 3});
    if (i + 1 < levels) m.module(up + "upsample.conv", {up_out, up_out, 3, 3});
    below = out;
    above = up_out;
  }
  m.module(p + "quant_conv", {8, 8, 1, 1});
  m.module(p + "post_quant_conv", {4, 4, 1, 1});
}

inline void openclip(Maker& m, const std::string& p, int64_t width, int layers,
                     int64_t words = 49408) {
  m.add(p + "positional_embedding", {77, width});
  m.add(p + "token_embedding.weight", {words, width});
  m.add(p + "text_projection", {width, width});
  m.module(p + "ln_final", {width});
  for (int i = 0; i < layers; ++i) {
    const std::string b = p + "transformer.resblocks." + std::to_string(i) + ".";
    m.module(b + "ln_1", {width});
    m.module(b + "ln_2", {width});
    m.add(b + "attn.in_proj_weight", {3 * width, width});
    m.add(b + "attn.in_proj_bias", {3 * width});
    m.module(b + "attn.out_proj", {width, width});
    m.module(b + "mlp.c_fc", {4 * width, width});
    m.module(b + "mlp.c_proj", {width, 4 * width});
  }
}

inline void clip(Maker& m, const std::string& p, int64_t width, int layers, int64_t words = 49408) {
  m.add(p + "embeddings.position_embedding.weight", {77, width});
  m.add(p + "embeddings.token_embedding.weight", {words, width});
  m.module(p + "final_layer_norm", {width});
  for (int i = 0; i < layers; ++i) {
    const std::string b = p + "encoder.layers." + std::to_string(i) + ".";
    m.module(b + "layer_norm1", {width});
    m.module(b + "layer_norm2", {width});
    for (const char* projection : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
      m.module(b + "self_attn." + projection, {width, width});
    }
    m.module(b + "mlp.fc1", {4 * width, width});
    m.module(b + "mlp.fc2", {width, 4 * width});
  }
}

inline const std::string kUnet = "model.diffusion_model.";
inline const std::string kClip = "cond_stage_model.transformer.text_model.";
inline const std::string kOpenClip = "cond_stage_model.model.";

inline Shape sd2() { return {.context = 1024, .linear = true}; }
inline Shape sdxl() {
  return {.context = 2048,
          .addition = 2816,
          .multiples = {1, 2, 4},
          .depths = {0, 2, 10},
          .middle = 10,
          .linear = true};
}
inline Shape refiner() {
  return {.width = 384,
          .context = 1280,
          .addition = 2560,
          .multiples = {1, 2, 4, 4},
          .depths = {0, 4, 4, 0},
          .middle = 4,
          .linear = true};
}

}  // namespace pangu::io::made
