// The configuration of a UNet: the fields of diffusers' `unet/config.json` that decide its tensors
// and its arithmetic. Field names, defaults and the historical misnomers are diffusers' own.
// Weights are not loaded here.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace pangu::nn {

// A `PerLevel` list has one entry for each resolution level, from the finest to the coarsest, or
// one entry for all levels.
template <typename T>
using PerLevel = std::vector<T>;

// The numbers of transformer blocks of a level's attentions: one number for all attentions, or one
// for each.
using Depths = std::vector<int64_t>;

struct UNetConfig {
  // The side in latent pixels that the model was trained at; no arithmetic depends on it.
  std::optional<int64_t> sample_size;
  int64_t in_channels = 4;
  int64_t out_channels = 4;
  // "DownBlock2D" or "CrossAttnDownBlock2D", finest level first.
  std::vector<std::string> down_block_types = {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                                               "CrossAttnDownBlock2D", "DownBlock2D"};
  // "UNetMidBlock2DCrossAttn", or "UNetMidBlock2D" (one residual block, no attention). Unset: the
  // network has no middle block.
  std::optional<std::string> mid_block_type = "UNetMidBlock2DCrossAttn";
  // "UpBlock2D" or "CrossAttnUpBlock2D", coarsest level first.
  std::vector<std::string> up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D",
                                             "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"};
  std::vector<int64_t> block_out_channels = {320, 640, 1280, 1280};
  PerLevel<int64_t> layers_per_block = {2};
  PerLevel<Depths> transformer_layers_per_block = {{1}};
  // The same for the upward half, coarsest level first. Unset: as in the downward half. It must be
  // set where the downward half has a number for each attention, since the upward half has one
  // attention more a level.
  std::optional<PerLevel<Depths>> reverse_transformer_layers_per_block;
  // The NUMBER OF HEADS, in spite of its name: diffusers keeps the wrong name for the sake of old
  // files.
  PerLevel<int64_t> attention_head_dim = {8};
  PerLevel<int64_t> cross_attention_dim = {1280};
  // Whether the first attention of a transformer block is a cross-attention too, and no
  // self-attention.
  PerLevel<bool> only_cross_attention = {false};
  bool use_linear_projection = false;  // proj_in and proj_out are [O,I] instead of [O,I,1,1]
  bool upcast_attention = false;       // attention scores in f32 whatever the parameter type
  int64_t norm_num_groups = 32;
  double norm_eps = 1e-5;
  bool flip_sin_to_cos = true;
  int64_t freq_shift = 0;
  int64_t conv_in_kernel = 3;
  int64_t conv_out_kernel = 3;
  // "timestep", "identity", "projection" or "simple_projection". Unset: no class embedding, or a
  // table of num_class_embeds rows where that is set.
  std::optional<std::string> class_embed_type;
  std::optional<int64_t> num_class_embeds;
  // "text_time": the pooled text embedding and the sinusoids of `time_ids` are projected and added
  // to the time embedding. Unset: nothing is added.
  std::optional<std::string> addition_embed_type;
  std::optional<int64_t> addition_time_embed_dim;
  std::optional<int64_t> projection_class_embeddings_input_dim;
  // Sinusoids of the guidance scale, projected and added to those of the time (LCM).
  std::optional<int64_t> time_cond_proj_dim = {};

  bool operator==(const UNetConfig&) const = default;

  int64_t levels() const { return static_cast<int64_t>(block_out_channels.size()); }
  int64_t time_embed_dim() const { return 4 * block_out_channels.front(); }
  // The number of states that the upward half takes from the downward half: that of conv_in, and of
  // every layer and downsampler. REQUIRES: validate() passed.
  int64_t skip_states() const;

  // Throws kBadInput naming the field that is out of range or does not fit the others.
  void validate() const;
};

// The entry of a level; a list of one entry serves every level. REQUIRES: validate() passed.
template <typename T>
T at_level(const PerLevel<T>& list, int64_t level) {
  return list.size() == 1 ? list.front() : list[static_cast<size_t>(level)];
}

// Reads the fields above and validates them; an absent key keeps its default. Throws kBadInput
// naming the first key that is unknown, has a value of the wrong type, or stands for something that
// is not supported (such as "class_embeddings_concat": true). Keys that begin with '_', and unknown
// keys that are null or false, are ignored.
UNetConfig unet_config_from_json(const nlohmann::json& json);

// Returns the JSON that diffusers.UNet2DConditionModel.from_config understands, with `_class_name`.
nlohmann::json to_json(const UNetConfig& config);

}  // namespace pangu::nn
