// Reads configurations of UNets and autoencoders off the shapes of their tensors.
#include "nn/unet/unet_from_shapes.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "nn/shape_reader.h"

namespace pangu::nn {
namespace {

constexpr int64_t kHeadWidthOfLinear = 64;  // SD 2, SDXL, PanGu-Draw 3
constexpr int64_t kHeads = 8;               // SD 1
constexpr int64_t kNormGroups = 32;         // all of them
constexpr int64_t kTimeIdWidth = 256;

int64_t norm_groups(const std::vector<int64_t>& widths) {
  int64_t groups = kNormGroups;
  for (const int64_t width : widths) groups = std::gcd(groups, width);
  return groups;
}

// Leaves one entry for all levels where they agree.
template <typename T>
void compress(PerLevel<T>& list) {
  if (std::all_of(list.begin(), list.end(),
                  [&](const auto& entry) { return entry == list.front(); })) {
    list.resize(1);
  }
}

struct AttentionShapes {
  Depths depths;  // of each attention, or one for all; empty: no attention
  int64_t context = 0;
  bool only_cross = false;
  bool linear = false;
};

// Reads the attentions of a block such as "down_blocks.1.". Apart from the depths, the first
// transformer stands for all.
AttentionShapes attention_of(const ShapeReader& reader, const std::string& block, int64_t width) {
  AttentionShapes found;
  const std::string transformer = block + "attentions.0.";
  if (!reader.has_prefix(transformer)) return found;
  for (int64_t i = 0; i < reader.count(block + "attentions."); ++i) {
    found.depths.push_back(
        reader.count(block + "attentions." + std::to_string(i) + ".transformer_blocks."));
  }
  compress(found.depths);
  const std::string first = transformer + "transformer_blocks.0.";
  found.context = reader.size(first + "attn2.to_k.weight", 2, 1);
  const int64_t own = reader.size(first + "attn1.to_k.weight", 2, 1);
  found.only_cross = own != width && own == found.context;
  // [O,I] is linear, [O,I,1,1] convolutional; the bias does not tell.
  found.linear = reader.dims(transformer + "proj_in.weight") == 2;
  return found;
}

void read_embeddings(const ShapeReader& reader, UNetConfig& c) {
  if (reader.has("time_embedding.cond_proj.weight")) {
    c.time_cond_proj_dim = reader.size("time_embedding.cond_proj.weight", 2, 1);
  }
  const auto set_projection = [&](int64_t width) {
    if (c.projection_class_embeddings_input_dim.value_or(width) != width) {
      throw bad_input("UNet", "class_embedding and add_embedding of one input width",
                      std::to_string(width));
    }
    c.projection_class_embeddings_input_dim = width;
  };
  if (reader.has("class_embedding.linear_1.weight")) {
    const int64_t width = reader.size("class_embedding.linear_1.weight", 2, 1);
    c.class_embed_type = width == c.block_out_channels.front() ? "timestep" : "projection";
    if (c.class_embed_type == "projection") set_projection(width);
  } else if (reader.has("class_embedding.bias")) {
    c.class_embed_type = "simple_projection";
    set_projection(reader.size("class_embedding.weight", 2, 1));
  } else if (reader.has("class_embedding.weight")) {
    c.num_class_embeds = reader.size("class_embedding.weight", 2, 0);
  }
  if (reader.has("add_embedding.linear_1.weight")) {
    c.addition_embed_type = "text_time";
    c.addition_time_embed_dim = kTimeIdWidth;
    set_projection(reader.size("add_embedding.linear_1.weight", 2, 1));
  }
}

// Collects what the transformers of all levels have: downward, in the middle and upward.
struct Levels {
  std::vector<AttentionShapes> attention;  // without depths: no attention at this level
  std::vector<Depths> upward;              // depths of the upward half, or empty
  Depths middle;                           // depths of the middle block
  bool any = false;
  bool linear = false;
  int64_t context = 0;  // of the first transformer

  void take(size_t level, const AttentionShapes& found) {
    if (found.depths.empty()) return;
    if (attention[level].depths.empty()) attention[level] = found;
    if (!any) {
      linear = found.linear;
      context = found.context;
    }
    any = true;
  }

  void write(UNetConfig& c) const {
    c.use_linear_projection = linear;
    c.transformer_layers_per_block.clear();
    c.cross_attention_dim.clear();
    c.only_cross_attention.clear();
    c.attention_head_dim.clear();
    // A level without attention does not tell its depth; it gets that of the others, if they agree.
    Depths common;
    for (const AttentionShapes& at : attention) {
      if (at.depths.empty()) continue;
      common = common.empty() || common == at.depths ? at.depths : Depths{1};
      if (common == Depths{1}) break;
    }
    if (common.size() != 1) common = {1};
    for (size_t level = 0; level < attention.size(); ++level) {
      const AttentionShapes& at = attention[level];
      const bool attends = !at.depths.empty();
      const bool downward = c.down_block_types[level] == "CrossAttnDownBlock2D";
      const bool of_middle = level + 1 == attention.size() && !downward && !middle.empty();
      c.transformer_layers_per_block.push_back(of_middle  ? middle
                                               : !attends ? common
                                               : downward ? at.depths
                                                          : Depths{at.depths.front()});
      c.cross_attention_dim.push_back(attends ? at.context : std::max<int64_t>(context, 1));
      c.only_cross_attention.push_back(at.only_cross);
      const int64_t width = c.block_out_channels[level];
      int64_t heads = linear ? std::max<int64_t>(width / kHeadWidthOfLinear, 1) : kHeads;
      if (!any && width % heads != 0) heads = 1;
      c.attention_head_dim.push_back(heads);
    }
    write_upward(c);
    compress(c.transformer_layers_per_block);
    compress(c.cross_attention_dim);
    compress(c.only_cross_attention);
    compress(c.attention_head_dim);
  }

 private:
  // Writes the depths of the upward half where they are not the downward half's.
  void write_upward(UNetConfig& c) const {
    PerLevel<Depths> reversed;
    bool equal = true;
    for (size_t level = attention.size(); level-- > 0;) {
      const Depths& down = c.transformer_layers_per_block[level];
      const bool attends = !upward[level].empty();
      reversed.push_back(attends ? upward[level] : Depths{down.front()});
      equal = equal && (!attends || upward[level] == down) && down.size() == 1;
    }
    if (!equal) c.reverse_transformer_layers_per_block = std::move(reversed);
  }
};

// `upward`: whether there is an upward half to read, or one to assume.
UNetConfig read_unet(const ShapeReader& reader, bool upward) {
  UNetConfig c;
  const int64_t levels = reader.count("down_blocks.");
  if (levels == 0) throw bad_input("UNet", "tensors 'down_blocks.0.'", "none");
  c.in_channels = reader.size("conv_in.weight", 4, 1);
  c.conv_in_kernel = reader.size("conv_in.weight", 4, 2);
  c.block_out_channels.clear();
  c.layers_per_block.clear();
  c.down_block_types.clear();
  c.up_block_types.clear();
  Levels found;
  found.attention.resize(static_cast<size_t>(levels));
  found.upward.resize(static_cast<size_t>(levels));
  for (int64_t level = 0; level < levels; ++level) {
    const std::string block = "down_blocks." + std::to_string(level) + ".";
    const int64_t width = reader.size(block + "resnets.0.conv1.weight", 4, 0);
    // A wrong width in one small tensor would make a network that no memory holds, so two tensors
    // must agree.
    const int64_t again = reader.size(block + "resnets.0.conv2.weight", 4, 1);
    if (again != width) {
      throw bad_input("UNet, tensor '" + block + "resnets.0.conv2.weight'",
                      "input channels " + std::to_string(width), std::to_string(again));
    }
    c.block_out_channels.push_back(width);
    c.layers_per_block.push_back(reader.count(block + "resnets."));
    const AttentionShapes attention = attention_of(reader, block, width);
    c.down_block_types.push_back(!attention.depths.empty() ? "CrossAttnDownBlock2D"
                                                           : "DownBlock2D");
    found.take(static_cast<size_t>(level), attention);
  }
  compress(c.layers_per_block);
  if (upward && reader.count("up_blocks.") != levels) {
    throw bad_input("UNet", std::to_string(levels) + " up_blocks, one a level",
                    std::to_string(reader.count("up_blocks.")));
  }
  for (int64_t index = 0; index < levels; ++index) {
    const auto level = static_cast<size_t>(levels - 1 - index);
    bool attends = c.down_block_types[level] == "CrossAttnDownBlock2D";
    if (upward) {
      const AttentionShapes attention = attention_of(
          reader, "up_blocks." + std::to_string(index) + ".", c.block_out_channels[level]);
      attends = !attention.depths.empty();
      found.upward[level] = attention.depths;
      found.take(level, attention);
    }
    c.up_block_types.push_back(attends ? "CrossAttnUpBlock2D" : "UpBlock2D");
  }
  c.mid_block_type.reset();
  if (reader.has_prefix("mid_block.")) {
    const AttentionShapes attention =
        attention_of(reader, "mid_block.", c.block_out_channels.back());
    c.mid_block_type = !attention.depths.empty() ? "UNetMidBlock2DCrossAttn" : "UNetMidBlock2D";
    // The middle block comes after the levels, because its first attention never looks at the
    // context.
    found.take(static_cast<size_t>(levels - 1), attention);
    found.middle = attention.depths;
  }
  if (upward) {
    c.out_channels = reader.size("conv_out.weight", 4, 0);
    c.conv_out_kernel = reader.size("conv_out.weight", 4, 2);
  }
  found.write(c);
  c.norm_num_groups = norm_groups(c.block_out_channels);
  read_embeddings(reader, c);
  c.validate();
  return c;
}

}  // namespace

UNetConfig unet_config_from_shapes(const TensorShapes& shapes) {
  return read_unet(ShapeReader("UNet", shapes), /*upward=*/true);
}

UNetConfig down_half_config_from_shapes(const TensorShapes& shapes) {
  return read_unet(ShapeReader("ControlNet", shapes), /*upward=*/false);
}

AutoencoderKLConfig autoencoder_config_from_shapes(const TensorShapes& shapes) {
  const ShapeReader reader("autoencoder", shapes);
  const auto size = [&](const std::string& name, size_t at) {
    return static_cast<int>(std::min<int64_t>(reader.size(name, 4, at), 1 << 20));
  };
  AutoencoderKLConfig c;
  c.in_channels = size("encoder.conv_in.weight", 1);
  c.out_channels = size("decoder.conv_out.weight", 0);
  c.latent_channels = size("decoder.conv_in.weight", 1);
  const int64_t levels = reader.count("encoder.down_blocks.");
  c.block_out_channels.clear();
  std::vector<int64_t> widths;
  for (int64_t level = 0; level < levels; ++level) {
    const std::string block = "encoder.down_blocks." + std::to_string(level) + ".";
    c.block_out_channels.push_back(size(block + "resnets.0.conv1.weight", 0));
    widths.push_back(c.block_out_channels.back());
  }
  c.layers_per_block = static_cast<int>(reader.count("encoder.down_blocks.0.resnets."));
  c.norm_num_groups = static_cast<int>(norm_groups(widths));
  c.mid_block_add_attention = reader.has_prefix("decoder.mid_block.attentions.");
  c.use_quant_conv = reader.has("quant_conv.weight");
  c.use_post_quant_conv = reader.has("post_quant_conv.weight");
  c.validate();
  return c;
}

}  // namespace pangu::nn
