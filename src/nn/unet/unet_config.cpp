// Reads, writes and checks UNetConfig. Options of diffusers that this program lacks are refused by
// name.
#include "nn/unet/unet_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_reader.h"

namespace pangu::nn {
namespace {

using nlohmann::json;

const char kUNetConfig[] = "unet/config.json";

Error field_error(const std::string& key, const std::string& expected, const std::string& found) {
  return bad_input(std::string(kUNetConfig) + ", key '" + key + "'", expected, found);
}

void require_key(bool holds, const std::string& key, const std::string& expected,
                 const std::string& found) {
  if (!holds) throw field_error(key, expected, found);
}

template <typename T>
void check_levels(const char* key, const PerLevel<T>& list, int64_t levels) {
  const auto size = static_cast<int64_t>(list.size());
  require_key(size == 1 || size == levels, key,
              "one value, or one a level (" + std::to_string(levels) + ")",
              std::to_string(size) + " values");
}

void check_positive(const char* key, int64_t value) {
  require_key(value > 0 && value <= 1 << 20, key, "a whole number from 1 to 1048576",
              std::to_string(value));
}

void check_block_types(const char* key, const std::vector<std::string>& types, int64_t levels,
                       const std::string& plain, const std::string& cross) {
  require_key(static_cast<int64_t>(types.size()) == levels, key,
              "one type for each of the " + std::to_string(levels) + " block_out_channels",
              std::to_string(types.size()));
  for (const std::string& type : types) {
    require_key(type == plain || type == cross, key, plain + " or " + cross, type);
  }
}

// Checks the depths of one half of the network. A block of the upward half has one attention more
// than layers_per_block.
void check_depths(const char* key, const PerLevel<Depths>& depths, const UNetConfig& c,
                  bool upward) {
  check_levels(key, depths, c.levels());
  for (int64_t index = 0; index < c.levels(); ++index) {
    const int64_t level = upward ? c.levels() - 1 - index : index;
    const auto& types = upward ? c.up_block_types : c.down_block_types;
    const bool attends = types[static_cast<size_t>(index)].starts_with("CrossAttn");
    const Depths& own = at_level(depths, index);
    const auto attentions =
        static_cast<size_t>(at_level(c.layers_per_block, level) + (upward ? 1 : 0));
    // A level without attention may have any number, even 0.
    for (const int64_t depth : own)
      check_positive(key, attends ? depth : std::max<int64_t>(depth, 1));
    require_key(
        own.size() == 1 || (attends && own.size() == attentions), key,
        "one number, or one for each of the level's " + std::to_string(attentions) + " attentions",
        std::to_string(own.size()) + " numbers");
  }
}

void check_all_depths(const UNetConfig& c) {
  const auto& down = c.transformer_layers_per_block;
  check_depths("transformer_layers_per_block", down, c, false);
  const auto& up = c.reverse_transformer_layers_per_block;
  if (up) check_depths("reverse_transformer_layers_per_block", *up, c, true);
  const bool nested =
      std::any_of(down.begin(), down.end(), [](const Depths& d) { return d.size() > 1; });
  require_key(up || !nested, "reverse_transformer_layers_per_block",
              "lists for the upward half, as transformer_layers_per_block has for the downward one",
              "none");
}

bool is_known_class_embed(const std::string& type) {
  return type == "timestep" || type == "identity" || type == "projection" ||
         type == "simple_projection";
}

void check_embeddings(const UNetConfig& c) {
  const bool projects = c.addition_embed_type || c.class_embed_type == "projection" ||
                        c.class_embed_type == "simple_projection";
  if (c.addition_embed_type) {
    require_key(*c.addition_embed_type == "text_time", "addition_embed_type", "null or text_time",
                *c.addition_embed_type);
    require_key(c.addition_time_embed_dim.has_value(), "addition_time_embed_dim",
                "a width, because addition_embed_type is text_time", "null");
    check_positive("addition_time_embed_dim", *c.addition_time_embed_dim);
  }
  if (c.class_embed_type) {
    require_key(is_known_class_embed(*c.class_embed_type), "class_embed_type",
                "null, timestep, identity, projection or simple_projection", *c.class_embed_type);
  }
  if (c.num_class_embeds) check_positive("num_class_embeds", *c.num_class_embeds);
  if (projects) {
    require_key(c.projection_class_embeddings_input_dim.has_value(),
                "projection_class_embeddings_input_dim", "the width of the added condition",
                "null");
    check_positive("projection_class_embeddings_input_dim",
                   *c.projection_class_embeddings_input_dim);
  }
}

template <typename T>
json scalar_or_list(const PerLevel<T>& list) {
  if (list.size() == 1) return json(static_cast<T>(list.front()));
  return json(list);
}

json depths_json(const PerLevel<Depths>& list) {
  const auto one = [](const Depths& d) { return d.size() == 1 ? json(d.front()) : json(d); };
  if (list.size() == 1 && list.front().size() == 1) return one(list.front());
  json levels = json::array();
  for (const Depths& d : list) levels.push_back(one(d));
  return levels;
}

template <typename T>
json value_or_null(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

}  // namespace

int64_t UNetConfig::skip_states() const {
  int64_t states = levels();  // conv_in's, and one for each downsampler
  for (int64_t level = 0; level < levels(); ++level) states += at_level(layers_per_block, level);
  return states;
}

void UNetConfig::validate() const {
  require_key(levels() >= 1 && levels() <= 16, "block_out_channels", "1 to 16 levels",
              std::to_string(levels()));
  check_positive("in_channels", in_channels);
  check_positive("out_channels", out_channels);
  check_positive("norm_num_groups", norm_num_groups);
  require_key(norm_eps > 0, "norm_eps", "a positive number", std::to_string(norm_eps));
  check_block_types("down_block_types", down_block_types, levels(), "DownBlock2D",
                    "CrossAttnDownBlock2D");
  check_block_types("up_block_types", up_block_types, levels(), "UpBlock2D", "CrossAttnUpBlock2D");
  if (mid_block_type) {
    require_key(*mid_block_type == "UNetMidBlock2DCrossAttn" || *mid_block_type == "UNetMidBlock2D",
                "mid_block_type", "null, UNetMidBlock2DCrossAttn or UNetMidBlock2D",
                *mid_block_type);
  }
  check_levels("layers_per_block", layers_per_block, levels());
  check_levels("attention_head_dim", attention_head_dim, levels());
  check_levels("cross_attention_dim", cross_attention_dim, levels());
  check_levels("only_cross_attention", only_cross_attention, levels());
  for (int64_t level = 0; level < levels(); ++level) {
    const int64_t channels = block_out_channels[static_cast<size_t>(level)];
    check_positive("block_out_channels", channels);
    require_key(channels % norm_num_groups == 0, "block_out_channels",
                "multiples of norm_num_groups = " + std::to_string(norm_num_groups),
                std::to_string(channels));
    check_positive("layers_per_block", at_level(layers_per_block, level));
    check_positive("cross_attention_dim", at_level(cross_attention_dim, level));
    const int64_t heads = at_level(attention_head_dim, level);
    check_positive("attention_head_dim", heads);
    require_key(
        channels % heads == 0, "attention_head_dim",
        "a number of heads that divides the level's " + std::to_string(channels) + " channels",
        std::to_string(heads));
  }
  check_all_depths(*this);
  require_key(block_out_channels.front() / 2 > freq_shift && freq_shift >= 0, "freq_shift",
              "0 up to half of the first block_out_channels", std::to_string(freq_shift));
  require_key(conv_in_kernel > 0 && conv_in_kernel % 2 == 1, "conv_in_kernel", "an odd number",
              std::to_string(conv_in_kernel));
  require_key(conv_out_kernel > 0 && conv_out_kernel % 2 == 1, "conv_out_kernel", "an odd number",
              std::to_string(conv_out_kernel));
  check_embeddings(*this);
}

UNetConfig unet_config_from_json(const json& object) {
  UNetConfig c;
  JsonReader reader(kUNetConfig, object);
  reader.only("_class_name", {"UNet2DConditionModel"});
  reader.read("sample_size", c.sample_size);
  reader.read("in_channels", c.in_channels);
  reader.read("out_channels", c.out_channels);
  reader.read("down_block_types", c.down_block_types);
  reader.read("mid_block_type", c.mid_block_type);
  reader.read("up_block_types", c.up_block_types);
  reader.read("block_out_channels", c.block_out_channels);
  reader.read("layers_per_block", c.layers_per_block);
  reader.read("transformer_layers_per_block", c.transformer_layers_per_block);
  reader.read("reverse_transformer_layers_per_block", c.reverse_transformer_layers_per_block);
  reader.read("attention_head_dim", c.attention_head_dim);
  reader.read("cross_attention_dim", c.cross_attention_dim);
  reader.read("only_cross_attention", c.only_cross_attention);
  reader.read("use_linear_projection", c.use_linear_projection);
  reader.read("upcast_attention", c.upcast_attention);
  reader.read("norm_num_groups", c.norm_num_groups);
  reader.read("norm_eps", c.norm_eps);
  reader.read("flip_sin_to_cos", c.flip_sin_to_cos);
  reader.read("freq_shift", c.freq_shift);
  reader.read("conv_in_kernel", c.conv_in_kernel);
  reader.read("conv_out_kernel", c.conv_out_kernel);
  reader.read("class_embed_type", c.class_embed_type);
  reader.read("num_class_embeds", c.num_class_embeds);
  reader.read("addition_embed_type", c.addition_embed_type);
  reader.read("addition_time_embed_dim", c.addition_time_embed_dim);
  reader.read("projection_class_embeddings_input_dim", c.projection_class_embeddings_input_dim);
  reader.read("time_cond_proj_dim", c.time_cond_proj_dim);

  reader.only("act_fn", {"silu", "swish"});
  reader.only("time_embedding_type", {"positional"});
  reader.only("resnet_time_scale_shift", {"default"});
  reader.only("attention_type", {"default"});
  reader.only("downsample_padding", {1});
  reader.only("mid_block_scale_factor", {1});
  reader.only("resnet_out_scale_factor", {1});
  reader.only("dropout", {0});
  // diffusers itself refuses a file with this key: the number of heads is written as
  // attention_head_dim.
  reader.only("num_attention_heads", {});
  reader.only("encoder_hid_dim", {});
  reader.only("encoder_hid_dim_type", {});
  reader.only("cross_attention_norm", {});
  reader.only("time_embedding_dim", {});
  reader.only("time_embedding_act_fn", {});
  reader.only("timestep_post_act", {});
  for (const char* key : {"center_input_sample", "dual_cross_attention", "resnet_skip_time_act",
                          "class_embeddings_concat", "mid_block_only_cross_attention"}) {
    reader.only(key, {false});
  }
  // This key is a size of an embedding ("text") that is refused above.
  int64_t unused = 0;
  reader.read("addition_embed_type_num_heads", unused);
  reader.refuse_unread();
  c.validate();
  return c;
}

json to_json(const UNetConfig& c) {
  json keys{
      {"_class_name", "UNet2DConditionModel"},
      {"sample_size", value_or_null(c.sample_size)},
      {"in_channels", c.in_channels},
      {"out_channels", c.out_channels},
      {"down_block_types", c.down_block_types},
      {"mid_block_type", value_or_null(c.mid_block_type)},
      {"up_block_types", c.up_block_types},
      {"block_out_channels", c.block_out_channels},
      {"layers_per_block", scalar_or_list(c.layers_per_block)},
      {"transformer_layers_per_block", depths_json(c.transformer_layers_per_block)},
      {"attention_head_dim", scalar_or_list(c.attention_head_dim)},
      {"cross_attention_dim", scalar_or_list(c.cross_attention_dim)},
      {"only_cross_attention", scalar_or_list(c.only_cross_attention)},
      {"use_linear_projection", c.use_linear_projection},
      {"upcast_attention", c.upcast_attention},
      {"norm_num_groups", c.norm_num_groups},
      {"norm_eps", c.norm_eps},
      {"act_fn", "silu"},
      {"flip_sin_to_cos", c.flip_sin_to_cos},
      {"freq_shift", c.freq_shift},
      {"time_embedding_type", "positional"},
      {"resnet_time_scale_shift", "default"},
      {"conv_in_kernel", c.conv_in_kernel},
      {"conv_out_kernel", c.conv_out_kernel},
      {"class_embed_type", value_or_null(c.class_embed_type)},
      {"num_class_embeds", value_or_null(c.num_class_embeds)},
      {"addition_embed_type", value_or_null(c.addition_embed_type)},
      {"addition_time_embed_dim", value_or_null(c.addition_time_embed_dim)},
      {"projection_class_embeddings_input_dim",
       value_or_null(c.projection_class_embeddings_input_dim)},
  };
  if (c.reverse_transformer_layers_per_block) {
    keys["reverse_transformer_layers_per_block"] =
        depths_json(*c.reverse_transformer_layers_per_block);
  }
  if (c.time_cond_proj_dim) keys["time_cond_proj_dim"] = *c.time_cond_proj_dim;
  return keys;
}

}  // namespace pangu::nn
