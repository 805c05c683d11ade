// Autoencoders: LDM's names (CompVis/latent-diffusion model.py), diffusers' own older names, and
// the plain Sequentials of the TAESD files (madebyollin/taesd). LDM numbers the decoder's levels
// from the finest, diffusers from the coarsest.
#include <array>

#include "core/error.h"
#include "io/ldm/ldm_parts.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

struct Pair {
  std::string_view from, to;
};
constexpr std::array kAttention = {Pair{"norm.", "group_norm."},
                                   Pair{"q.", "to_q."},
                                   Pair{"k.", "to_k."},
                                   Pair{"v.", "to_v."},
                                   Pair{"proj_out.", "to_out.0."},
                                   Pair{"query.", "to_q."},
                                   Pair{"key.", "to_k."},
                                   Pair{"value.", "to_v."},
                                   Pair{"proj_attn.", "to_out.0."}};

std::string attention_name(std::string_view inside) {
  for (const Pair& pair : kAttention) {
    if (const auto leaf = behind(inside, pair.from))
      return std::string(pair.to) + std::string(*leaf);
  }
  return std::string(inside);
}

std::string resnet_name(std::string_view inside) {
  if (const auto leaf = behind(inside, "nin_shortcut."))
    return "conv_shortcut." + std::string(*leaf);
  return std::string(inside);
}

std::string mid_name(std::string_view rest) {
  if (const auto inside = behind(rest, "attn_1.")) {
    return "mid_block.attentions.0." + attention_name(*inside);
  }
  for (const int block : {1, 2}) {
    if (const auto inside = behind(rest, "block_" + std::to_string(block) + ".")) {
      return "mid_block.resnets." + std::to_string(block - 1) + "." + resnet_name(*inside);
    }
  }
  return "";
}

// Renames a tensor of encoder.down or decoder.up, such as "3.block.0.conv1.weight".
std::string level_name(std::string_view rest, bool up, int levels) {
  const auto item = numbered(rest);
  if (!item) return "";
  const std::string level = up ? "up_blocks." + std::to_string(levels - 1 - item->number)
                               : "down_blocks." + std::to_string(item->number);
  if (const auto block = behind(item->rest, "block.")) {
    const auto layer = numbered(*block);
    return layer ? level + ".resnets." + std::to_string(layer->number) + "." +
                       resnet_name(layer->rest)
                 : "";
  }
  if (const auto conv = behind(item->rest, "downsample.")) {
    return level + ".downsamplers.0." + std::string(*conv);
  }
  if (const auto conv = behind(item->rest, "upsample.")) {
    return level + ".upsamplers.0." + std::string(*conv);
  }
  return "";
}

std::string half_name(std::string_view rest, bool decoder, int levels) {
  if (rest.starts_with("conv_in.") || rest.starts_with("conv_out.")) return std::string(rest);
  if (const auto leaf = behind(rest, "norm_out.")) return "conv_norm_out." + std::string(*leaf);
  if (const auto inside = behind(rest, "mid.")) return mid_name(*inside);
  if (const auto inside = behind(rest, decoder ? "up." : "down.")) {
    return level_name(*inside, decoder, levels);
  }
  return "";
}

void put(const SourceTensor& tensor, const std::string& name, Renamed& out) {
  const bool projection = name.find(".attentions.") != std::string::npos &&
                          name.find("group_norm") == std::string::npos && name.ends_with(".weight");
  if (projection) {
    out.put(tensor, name, as_linear(tensor), false);
  } else {
    out.put(tensor, name);
  }
}

}  // namespace

TensorView as_linear(const SourceTensor& source) {
  TensorView view = *source.view;
  if (view.shape.size() == 4 && view.shape[2] == 1 && view.shape[3] == 1) view.shape.resize(2);
  if (view.shape.size() != 2) {
    throw bad_input("tensor " + short_quoted(*source.name), "a 1x1 convolution or a matrix",
                    "shape " + shape_text(view.shape));
  }
  return view;
}

void rename_ldm_vae(const SourceTensors& source, Renamed& out) {
  const int levels = count_below(source, "decoder.up.");
  for (const auto& [name, tensor] : source) {
    std::string renamed;
    if (const auto encoder = behind(name, "encoder.")) {
      const std::string inside = half_name(*encoder, false, 0);
      if (!inside.empty()) renamed = "encoder." + inside;
    } else if (const auto decoder = behind(name, "decoder.")) {
      const std::string inside = half_name(*decoder, true, levels);
      if (!inside.empty()) renamed = "decoder." + inside;
    } else if (name.starts_with("quant_conv.") || name.starts_with("post_quant_conv.")) {
      renamed = name;
    }
    if (renamed.empty()) {
      out.leave(tensor);
    } else {
      put(tensor, renamed, out);
    }
  }
}

void rename_diffusers_vae(const SourceTensors& source, Renamed& out) {
  for (const auto& [name, tensor] : source) {
    const std::string list = ".attentions.0.";
    const size_t at = name.find(list);
    if (at == std::string::npos) {
      out.put(tensor, name);
    } else {
      const size_t inside = at + list.size();
      put(tensor, name.substr(0, inside) + attention_name(std::string_view(name).substr(inside)),
          out);
    }
  }
}

void rename_taesd(const SourceTensors& source, Renamed& out) {
  if (out.what.layout == Layout::kDiffusers) return keep_names(source, out);
  // Module 0 of the original decoder is a clamp, which diffusers applies outside of its list.
  const bool decoder = source.count("0.weight") == 0;
  for (const auto& [name, tensor] : source) {
    const auto item = numbered(name);
    const int index = item ? item->number - (decoder ? 1 : 0) : -1;
    if (index < 0) {
      out.leave(tensor);
    } else {
      out.put(tensor, (decoder ? "decoder.layers." : "encoder.layers.") + std::to_string(index) +
                          "." + std::string(item->rest));
    }
  }
}

}  // namespace pangu::io
