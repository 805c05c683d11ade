#include "io/families/family_signs.h"

#include "io/families/family_table.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

// Sinusoids of a size number are 256 wide in SDXL, its refiner and PanGu-Draw 3; the width is not
// in the weights.
constexpr int64_t kNumberDim = 256;

void split_addition(Recognised& found, int64_t pooled, bool only_openclip) {
  const int64_t whole = found.addition_dim;
  if (pooled == 0) {  // a UNet alone: the released widths, else the smallest possible ones
    const int numbers = found.levels >= 4                   ? kRefinerNumbers
                        : whole > kSdxlNumbers * kNumberDim ? kSdxlNumbers
                        : whole > kNumberDim                ? kPanguNumbers
                                                            : 0;
    if (numbers > 0 && whole > numbers * kNumberDim) {
      found.addition_numbers = numbers;
      found.addition_number_dim = kNumberDim;
      found.pooled_dim = whole - numbers * kNumberDim;
    } else {  // narrower sinusoids, which cannot be told from the pooled part
      found.addition_numbers = found.levels >= 4 ? kRefinerNumbers : kSdxlNumbers;
    }
    return;
  }
  found.pooled_dim = pooled;
  const int64_t extra = whole - pooled;
  if (extra <= 0) return;
  const bool like_refiner = only_openclip && extra % kRefinerNumbers == 0;
  found.addition_numbers = extra == kNumberDim         ? kPanguNumbers
                           : like_refiner              ? kRefinerNumbers
                           : extra % kSdxlNumbers == 0 ? kSdxlNumbers
                                                       : kPanguNumbers;
  found.addition_number_dim = extra / found.addition_numbers;
}

}  // namespace

int64_t side(const TensorViews& tensors, const std::string& name, size_t axis) {
  const auto found = tensors.find(name);
  return found == tensors.end() || found->second.shape.size() <= axis ? 0
                                                                      : found->second.shape[axis];
}

std::optional<NetworkSigns> signs_of(const TensorViews& tensors, const std::string& prefix) {
  NetworkSigns signs;
  std::string label, conv_in, conv_out;
  if (tensors.count(prefix + "input_blocks.0.0.weight")) {
    signs.ldm = true;
    conv_in = prefix + "input_blocks.0.0.weight";
    conv_out = prefix + "out.2.weight";
    label = prefix + "label_emb.0.0.weight";
    signs.class_table = tensors.count(prefix + "label_emb.weight") > 0;
    signs.levels = 1;
  } else if (tensors.count(prefix + "conv_in.weight") &&
             any_begins(tensors, prefix + "down_blocks.") &&
             any_begins(tensors, prefix + "time_embedding.")) {
    conv_in = prefix + "conv_in.weight";
    conv_out = prefix + "conv_out.weight";
    label = prefix + "add_embedding.linear_1.weight";
    signs.class_table = tensors.count(prefix + "class_embedding.weight") > 0;
    signs.class_projection = tensors.count(prefix + "class_embedding.linear_1.weight") > 0;
    signs.levels = count_below(tensors, prefix + "down_blocks.");
  } else {
    return std::nullopt;
  }
  // diffusers' ControlNetUnionModel, and xinsir's files that it was made of.
  signs.control_union = tensors.count(prefix + "task_embedding") > 0;
  signs.in_channels = side(tensors, conv_in, 1);
  signs.out_channels = side(tensors, conv_out, 0);
  signs.addition_dim = side(tensors, label, 1);
  bool projection_seen = false;
  for_each_below(tensors, prefix, [&](std::string_view rest, const TensorView& view) {
    if (signs.ldm && rest.starts_with("input_blocks.") && rest.ends_with(".0.op.weight")) {
      ++signs.levels;
    }
    if (signs.context_dim == 0 && rest.ends_with(".attn2.to_k.weight") && view.shape.size() == 2) {
      signs.context_dim = view.shape[1];
    }
    if (!projection_seen && rest.ends_with(".proj_in.weight")) {
      projection_seen = true;
      signs.linear_projection = view.shape.size() == 2;
    }
    if (rest.starts_with(signs.ldm ? "middle_block.1.transformer_blocks."
                                   : "mid_block.attentions.")) {
      signs.middle_attends = true;
    }
    if (rest.starts_with(signs.ldm ? "input_blocks.1.1." : "down_blocks.0.attentions.")) {
      signs.first_level_attends = true;
    }
  });
  return signs;
}

int64_t pooled_dim_of(const TensorViews& tensors, const std::string& prefix) {
  const int64_t transposed = side(tensors, prefix + "text_projection", 1);  // [I,O]
  return transposed ? transposed : side(tensors, prefix + "text_projection.weight", 0);
}

Variant variant_of(const Recognised& found, const NetworkSigns& signs) {
  if (signs.control_union) return {"ControlNet union (not supported)", false};
  if (signs.class_table) return {"4x upscaler (not supported)", false};
  if (signs.class_projection ||
      (signs.linear_projection && signs.first_level_attends && found.addition_dim > 0)) {
    return {"unCLIP (not supported)", false};
  }
  const std::string channels = std::to_string(found.in_channels) + " input channels";
  if (found.inpaint) return {"inpainting (" + channels + ")"};
  if (signs.out_channels > 0 && found.in_channels == 2 * signs.out_channels) {
    return {"edited by instruction (" + channels + ", not supported)", false};
  }
  if (signs.out_channels > 0 && found.in_channels == signs.out_channels + 1) {
    return {"depth-guided (" + channels + ", not supported)", false};
  }
  return {};
}

void decide_family(Recognised& found, const NetworkSigns& signs, const Surroundings& surroundings) {
  found.in_channels = signs.in_channels;
  found.levels = signs.levels;
  found.context_dim = signs.context_dim;
  found.addition_dim = signs.addition_dim;
  found.linear_projection = signs.linear_projection;
  // A ControlNet has no output to compare with; the released models have 4 latent channels.
  constexpr int64_t kLatentChannels = 4;
  const int64_t latent = signs.out_channels > 0 ? signs.out_channels : kLatentChannels;
  found.inpaint = signs.in_channels == 2 * latent + 1;
  if (signs.addition_dim > 0 && !signs.first_level_attends) {
    const bool only_openclip = surroundings.text_encoder == TextTower::kNone &&
                               surroundings.text_encoder_2 != TextTower::kNone;
    split_addition(found, surroundings.pooled, only_openclip);
  }
  for (const FamilyRow& row : family_table()) {
    if (!row.fits(found, signs, surroundings)) continue;
    found.family = row.family;
    return;
  }
}

TextTower tower_at(const TensorViews& tensors, const std::string& prefix) {
  for (const char* text_model : {"text_model.", ""}) {
    if (tensors.count(prefix + text_model + "embeddings.token_embedding.weight")) {
      return TextTower::kClip;
    }
  }
  if (tensors.count(prefix + "token_embedding.weight") &&
      any_begins(tensors, prefix + "transformer.resblocks.")) {
    return TextTower::kOpenClip;
  }
  if (tensors.count(prefix + "embeddings.word_embeddings.weight") ||
      tensors.count(prefix + "bert.embeddings.word_embeddings.weight")) {
    return TextTower::kBert;
  }
  return TextTower::kNone;
}

bool has_vae(const TensorViews& tensors, const std::string& prefix) {
  return tensors.count(prefix + "decoder.conv_in.weight") ||
         tensors.count(prefix + "encoder.conv_in.weight");
}

int64_t latent_channels_of(const TensorViews& tensors, const std::string& prefix) {
  const int64_t decoder = side(tensors, prefix + "decoder.conv_in.weight", 1);
  return decoder ? decoder : side(tensors, prefix + "encoder.conv_out.weight", 0) / 2;
}

void name_variant(Recognised& found, const std::string& what, const Variant& variant) {
  found.human_name = variant.name.empty() ? what : what + ", " + variant.name;
  if (!variant.supported) found.unsupported = found.human_name;
}

}  // namespace pangu::io
