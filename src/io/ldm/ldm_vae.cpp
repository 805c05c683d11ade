// Autoencoders: LDM's names (CompVis/latent-diffusion model.py) in both directions, diffusers' own
// older names, and the plain Sequentials of the TAESD files (madebyollin/taesd). LDM numbers the
// decoder's levels from the finest, diffusers from the coarsest.
#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "core/error.h"
#include "io/ldm/ldm_parts.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

struct VaePair {
  std::string_view ldm, diffusers;
};
// Where a half has its modules; '#' is a number.
constexpr std::string_view kMiddleAttention = "mid.attn_1.", kUp = "up.", kDown = "down.";
constexpr std::array kPlaces = {VaePair{"conv_in.", "conv_in."},
                                VaePair{"conv_out.", "conv_out."},
                                VaePair{"norm_out.", "conv_norm_out."},
                                VaePair{kMiddleAttention, "mid_block.attentions.0."},
                                VaePair{"mid.block_1.", "mid_block.resnets.0."},
                                VaePair{"mid.block_2.", "mid_block.resnets.1."},
                                VaePair{"down.#.block.#.", "down_blocks.#.resnets.#."},
                                VaePair{"down.#.downsample.", "down_blocks.#.downsamplers.0."},
                                VaePair{"up.#.block.#.", "up_blocks.#.resnets.#."},
                                VaePair{"up.#.upsample.", "up_blocks.#.upsamplers.0."}};
constexpr std::array kVaeResnet = {VaePair{"nin_shortcut.", "conv_shortcut."}};
// The last four are diffusers' own older names, which are read and not written.
constexpr std::array kVaeAttention = {VaePair{"norm.", "group_norm."},
                                      VaePair{"q.", "to_q."},
                                      VaePair{"k.", "to_k."},
                                      VaePair{"v.", "to_v."},
                                      VaePair{"proj_out.", "to_out.0."},
                                      VaePair{"query.", "to_q."},
                                      VaePair{"key.", "to_k."},
                                      VaePair{"value.", "to_v."},
                                      VaePair{"proj_attn.", "to_out.0."}};

// A name inside of a module by the first pair that begins it; others stay.
std::string inside_name(std::span<const VaePair> pairs, std::string_view inside,
                        bool to_ldm = false) {
  for (const VaePair& pair : pairs) {
    if (const auto leaf = behind(inside, to_ldm ? pair.diffusers : pair.ldm)) {
      return std::string(to_ldm ? pair.ldm : pair.diffusers) + std::string(*leaf);
    }
  }
  return std::string(inside);
}

// The numbers that stand in a name for the '#' of a pattern, and what is behind it.
struct Placed {
  std::vector<int> numbers;
  std::string_view rest;
};
std::optional<Placed> placed_by(std::string_view pattern, std::string_view name) {
  Placed placed;
  placed.rest = name;
  while (!pattern.empty()) {
    const size_t number = std::min(pattern.find('#'), pattern.size());
    const auto rest = behind(placed.rest, pattern.substr(0, number));
    if (!rest) return std::nullopt;
    placed.rest = *rest;
    if (number == pattern.size()) break;
    const auto item = numbered(placed.rest);
    if (!item) return std::nullopt;
    placed.numbers.push_back(item->number);
    placed.rest = item->rest;
    pattern.remove_prefix(number + 2);  // the '#' and the point behind it
  }
  return placed;
}

std::string filled(std::string_view pattern, const std::vector<int>& numbers) {
  std::string name;
  auto next = numbers.begin();
  for (const char c : pattern) name += c == '#' ? std::to_string(*next++) : std::string(1, c);
  return name;
}

// Renames a tensor of one half; empty if no rule knows it. levels: of the decoder, whose levels
// LDM numbers from the finest.
std::string half_name(std::string_view rest, bool decoder, int levels, bool to_ldm = false) {
  for (const VaePair& place : kPlaces) {
    if (place.ldm.starts_with(decoder ? kDown : kUp)) continue;
    auto placed = placed_by(to_ldm ? place.diffusers : place.ldm, rest);
    if (!placed) continue;
    if (decoder && !placed->numbers.empty()) {
      placed->numbers.front() = levels - 1 - placed->numbers.front();
    }
    const bool attends = place.ldm == kMiddleAttention;
    return filled(to_ldm ? place.ldm : place.diffusers, placed->numbers) +
           (attends ? inside_name(kVaeAttention, placed->rest, to_ldm)
                    : inside_name(kVaeResnet, placed->rest, to_ldm));
  }
  return "";
}

// The whole name; empty if no rule knows it.
std::string vae_name(const std::string& name, int levels, bool to_ldm = false) {
  for (const bool decoder : {false, true}) {
    const std::string half = decoder ? "decoder." : "encoder.";
    if (const auto rest = behind(name, half)) {
      const std::string inside = half_name(*rest, decoder, levels, to_ldm);
      return inside.empty() ? "" : half + inside;
    }
  }
  const bool stays = name.starts_with("quant_conv.") || name.starts_with("post_quant_conv.");
  return stays ? name : "";
}

// Whether a tensor with this name in diffusers is a 1x1 convolution in LDM and a matrix there.
bool is_projection(const std::string& name) {
  return name.find(".attentions.") != std::string::npos &&
         name.find("group_norm") == std::string::npos && name.ends_with(".weight");
}

void put(const SourceTensor& tensor, const std::string& name, Renamed& out) {
  if (is_projection(name)) {
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
    const std::string renamed = vae_name(name, levels);
    if (renamed.empty()) {
      out.leave(tensor);
    } else {
      put(tensor, renamed, out);
    }
  }
}

void restore_ldm_vae(const NamedTensors& given, Restored& out) {
  const int levels = count_below(given, "decoder.up_blocks.");
  for (const auto& [name, tensor] : given) {
    const std::string restored = vae_name(name, levels, true);
    if (restored.empty()) {
      out.nameless.push_back(name);
      continue;
    }
    std::vector<int64_t> shape = shape_of(tensor);
    if (is_projection(name) && shape.size() == 2) shape.insert(shape.end(), {1, 1});
    out.put(restored, name, tensor, std::move(shape), false);
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
      put(tensor,
          name.substr(0, inside) +
              inside_name(kVaeAttention, std::string_view(name).substr(inside)),
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
