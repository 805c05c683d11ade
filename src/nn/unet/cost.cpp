#include "nn/unet/cost.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace pangu::nn {
namespace {

constexpr double kGiga = 1e-9;

// The number of a block: "down_blocks.3.resnets..." -> 3; -1 if the name does not begin so.
int64_t block_of(const std::string& name, const std::string& kind) {
  if (!name.starts_with(kind + ".")) return -1;
  return std::stoll(name.substr(kind.size() + 1));
}

int64_t count_blocks(const TensorShapes& shapes, const std::string& kind) {
  int64_t count = 0;
  for (const auto& [name, shape] : shapes) count = std::max(count, block_of(name, kind) + 1);
  return count;
}

bool has(const std::string& name, const char* part) { return name.find(part) != std::string::npos; }

// How often the grid of this tensor's layer has been halved, of `levels` grids.
int64_t level_of(const std::string& name, int64_t levels) {
  const int64_t down = block_of(name, "down_blocks"), up = block_of(name, "up_blocks");
  if (down >= 0) return down + (has(name, "downsamplers") ? 1 : 0);
  if (up >= 0) return levels - 1 - up - (has(name, "upsamplers") ? 1 : 0);
  return name.starts_with("mid_block") ? levels - 1 : 0;
}

// The number behind `list` in a name: "up_blocks.1.resnets.2.conv1" and "resnets." -> 2; -1 if the
// name has no such list.
int64_t number_in(const std::string& name, const std::string& list) {
  const size_t at = name.find(list);
  return at == std::string::npos ? -1 : std::stoll(name.substr(at + list.size()));
}

// The layers of every block of a half, in the order of computation.
std::vector<int64_t> layers_of(const TensorShapes& shapes, const std::string& half) {
  std::vector<int64_t> layers(static_cast<size_t>(count_blocks(shapes, half)), 0);
  for (const auto& [name, shape] : shapes) {
    const int64_t block = block_of(name, half);
    if (block < 0) continue;
    int64_t& count = layers[static_cast<size_t>(block)];
    count = std::max(count, number_in(name, ".resnets.") + 1);
  }
  return layers;
}

// Whether a layer belongs to the shallow part of a UNet at a depth (nn/unet/deep_features.h).
class ShallowPart {
 public:
  ShallowPart(const TensorShapes& shapes, int64_t depth)
      : down_(layers_of(shapes, "down_blocks")),
        up_(layers_of(shapes, "up_blocks")),
        depth_(depth) {}

  bool has_layer(const std::string& name) const {
    if (const int64_t block = block_of(name, "down_blocks"); block >= 0) {
      int64_t state = 1;  // after conv_in's
      for (int64_t b = 0; b < block; ++b) state += down_[static_cast<size_t>(b)] + 1;
      return state + (has(name, "downsamplers") ? down_[static_cast<size_t>(block)] : layer(name)) <
             depth_;
    }
    if (const int64_t block = block_of(name, "up_blocks"); block >= 0) {
      const auto own = static_cast<size_t>(block);
      int64_t behind = 0;  // layers of the blocks after this one
      for (size_t b = own + 1; b < up_.size(); ++b) behind += up_[b];
      if (has(name, "upsamplers")) return behind < depth_;
      return behind + up_[own] - layer(name) <= depth_;
    }
    if (const int64_t state = number_in(name, "controlnet_down_blocks."); state >= 0) {
      return state < depth_;
    }
    return !has(name, "mid_block");
  }

 private:
  static int64_t layer(const std::string& name) {
    return std::max(number_in(name, ".resnets."), number_in(name, ".attentions."));
  }

  std::vector<int64_t> down_, up_;
  int64_t depth_;
};

double product(const std::vector<int64_t>& shape) {
  double count = 1;
  for (const int64_t size : shape) count *= static_cast<double>(size);
  return count;
}

enum class Passes { kForward, kForwardAndBackward };

// How often a layer's product is computed: forward, for the gradient of its weight, and for that of
// its input unless the network begins there.
double products_of(const std::string& name, Passes passes) {
  if (passes == Passes::kForward) return 1;
  const bool is_first = name.starts_with("conv_in.") || has(name, "attn2.to_k") ||
                        has(name, "attn2.to_v") || has(name, "embedding.linear_1");
  return is_first ? 2 : 3;
}

// The operations of all tensors of a network whose finest grid is h x w.
double flop_of(const TensorShapes& shapes, double h, double w, int64_t levels, double context,
               Passes passes = Passes::kForward) {
  double flop = 0;
  for (const auto& [name, shape] : shapes) {
    if (!name.ends_with("weight") || shape.size() < 2) continue;
    const double shrink = std::pow(2.0, static_cast<double>(level_of(name, levels)));
    const double positions = std::max(1.0, (h / shrink) * (w / shrink));
    const bool once =
        has(name, "time_emb") || has(name, "add_embedding") || has(name, "class_embedding");
    const bool of_context = has(name, "attn2.to_k") || has(name, "attn2.to_v");
    flop += 2 * product(shape) *
            (once         ? 1
             : of_context ? context
                          : positions) *
            products_of(name, passes);
    // The scores and the weighted sum are two products of every query with every key.
    if (has(name, "to_q.")) {
      const double keys = has(name, "attn2") ? context : positions;
      flop += 4 * static_cast<double>(shape[0]) * positions * keys *
              (passes == Passes::kForward ? 1 : 3);
    }
  }
  return flop;
}

// Multiples of a transformer block's channels and tokens inside of it: three norms, queries, keys
// and values of one attention and queries of the other, two results of attention, two sums, and of
// the feed-forward layer 8 before its gate and 4 behind it.
constexpr double kTransformerInsides = 3 + 3 + 1 + 2 + 2 + 8 + 4;
// What the spatial transformer around the blocks keeps: its input, and that of each projection.
constexpr double kTransformerEnds = 3;
// What the last convolution keeps: its input before the norm, behind it, and activated.
constexpr double kOutputStates = 3;
// Of a residual block: its input behind the norm and activated; its hidden state, which the norm
// reads, behind the norm, and activated.
constexpr double kResidualInputs = 2, kResidualHidden = 3;
// A convolution that halves the grid keeps four pixels for each of its own.
constexpr double kPixelsOfHalved = 4;

TensorShapes part_of(const TensorShapes& shapes, const std::string& prefix) {
  TensorShapes part;
  for (const auto& [name, shape] : shapes) {
    if (name.starts_with(prefix)) part[name.substr(prefix.size())] = shape;
  }
  return part;
}

double autoencoder_flop(const TensorShapes& part, const char* blocks, double h, double w) {
  return flop_of(part, h, w, count_blocks(part, blocks), 0);
}

}  // namespace

double unet_gflop(const TensorShapes& shapes, int64_t h, int64_t w, int64_t context_length) {
  return kGiga * flop_of(shapes, static_cast<double>(h), static_cast<double>(w),
                         count_blocks(shapes, "down_blocks"), static_cast<double>(context_length));
}

double unet_shallow_gflop(const TensorShapes& shapes, int64_t depth, int64_t h, int64_t w,
                          int64_t context_length) {
  const ShallowPart shallow(shapes, depth);
  TensorShapes part;
  for (const auto& [name, shape] : shapes) {
    if (shallow.has_layer(name)) part[name] = shape;
  }
  return kGiga * flop_of(part, static_cast<double>(h), static_cast<double>(w),
                         count_blocks(shapes, "down_blocks"), static_cast<double>(context_length));
}

double unet_training_gflop(const TensorShapes& shapes, int64_t h, int64_t w,
                           int64_t context_length) {
  return kGiga * flop_of(shapes, static_cast<double>(h), static_cast<double>(w),
                         count_blocks(shapes, "down_blocks"), static_cast<double>(context_length),
                         Passes::kForwardAndBackward);
}

double UnetActivations::most(bool recomputes) const {
  return recomputes ? kept + 2 * largest : kept + insides + largest;
}

UnetActivations unet_activations(const TensorShapes& shapes, int64_t h, int64_t w,
                                 int64_t context_length) {
  const int64_t levels = count_blocks(shapes, "down_blocks");
  UnetActivations sum;
  for (const auto& [name, shape] : shapes) {
    if (!name.ends_with("weight") || shape.size() < 2) continue;
    const double shrink = std::pow(2.0, static_cast<double>(level_of(name, levels)));
    const double positions =
        std::max(1.0, (static_cast<double>(h) / shrink) * (static_cast<double>(w) / shrink));
    const auto out = static_cast<double>(shape[0]), in = static_cast<double>(shape[1]);
    double insides = 0;
    if (has(name, ".resnets.") && name.ends_with(".conv1.weight")) {
      sum.kept += in * positions;
      insides = (kResidualInputs * in + kResidualHidden * out) * positions;
    } else if (name.ends_with(".proj_in.weight")) {
      sum.kept += kTransformerEnds * out * positions;
    } else if (name.ends_with(".attn1.to_q.weight")) {
      sum.kept += out * positions;
      // Keys and values of the text.
      insides = out * (kTransformerInsides * positions + 2 * static_cast<double>(context_length));
    } else if (has(name, "downsamplers.")) {
      sum.kept += kPixelsOfHalved * in * positions;
    } else if (has(name, "upsamplers.")) {
      sum.kept += in * positions;
    } else if (name == "conv_out.weight") {
      sum.kept += kOutputStates * in * positions;
    }
    sum.insides += insides;
    sum.largest = std::max(sum.largest, insides);
  }
  return sum;
}

double encoder_gflop(const TensorShapes& shapes, int64_t height, int64_t width) {
  return kGiga * autoencoder_flop(part_of(shapes, "encoder."), "down_blocks",
                                  static_cast<double>(height), static_cast<double>(width));
}

double decoder_gflop(const TensorShapes& shapes, int64_t height, int64_t width) {
  return kGiga * autoencoder_flop(part_of(shapes, "decoder."), "up_blocks",
                                  static_cast<double>(height), static_cast<double>(width));
}

}  // namespace pangu::nn
