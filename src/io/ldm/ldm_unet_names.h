// The names of a UNet's small parts in LDM and in diffusers, for both directions. This is no public
// contract of the room.
#pragma once
#include <array>
#include <string>
#include <string_view>

namespace pangu::io {

struct LdmPair {
  std::string_view ldm, diffusers;
};
inline constexpr std::array kLdmResnet = {
    LdmPair{"in_layers.0", "norm1"},          LdmPair{"in_layers.2", "conv1"},
    LdmPair{"emb_layers.1", "time_emb_proj"}, LdmPair{"out_layers.0", "norm2"},
    LdmPair{"out_layers.3", "conv2"},         LdmPair{"skip_connection", "conv_shortcut"}};
inline constexpr std::array kLdmOutside = {LdmPair{"time_embed.0", "time_embedding.linear_1"},
                                           LdmPair{"time_embed.2", "time_embedding.linear_2"},
                                           LdmPair{"input_blocks.0.0", "conv_in"},
                                           LdmPair{"out.0", "conv_norm_out"},
                                           LdmPair{"out.2", "conv_out"},
                                           LdmPair{"label_emb.0.0", "add_embedding.linear_1"},
                                           LdmPair{"label_emb.0.2", "add_embedding.linear_2"},
                                           LdmPair{"label_emb", "class_embedding"},
                                           LdmPair{"middle_block_out.0", "controlnet_mid_block"}};

inline std::string indexed(const std::string& list, int index) {
  return list + "." + std::to_string(index);
}

}  // namespace pangu::io
