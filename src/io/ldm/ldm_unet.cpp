// UNet and ControlNet of LDM files. Their blocks have one running number: input_blocks holds every
// layer of a level, then that level's downsampler, and so on for the next level; output_blocks the
// same upwards, with the upsampler as the last module of a level's last layer. Levels and layers
// are therefore read off the names. Names: CompVis/latent-diffusion openaimodel.py,
// lllyasviel/ControlNet cldm.py, diffusers.
#include <algorithm>
#include <set>

#include "io/families/family_table.h"
#include "io/ldm/ldm_parts.h"
#include "io/ldm/ldm_unet_names.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

enum class Kind { kResnet, kAttention, kDownsample, kUpsample, kOther };

// The kind of a module such as "input_blocks.4.1", told by one name inside of it.
Kind kind_of(std::string_view inside) {
  for (const LdmPair& pair : kLdmResnet) {
    if (inside.starts_with(std::string(pair.ldm) + ".")) return Kind::kResnet;
  }
  for (const char* part : {"transformer_blocks.", "proj_in.", "proj_out.", "norm."}) {
    if (inside.starts_with(part)) return Kind::kAttention;
  }
  if (inside.starts_with("op.")) return Kind::kDownsample;
  if (inside.starts_with("conv.")) return Kind::kUpsample;
  return Kind::kOther;
}

// The kinds of modules by the index of the block and the index of the module in it.
using Blocks = std::map<int, std::map<int, Kind>>;

Blocks blocks_of(const SourceTensors& source, const std::string& prefix, bool nested) {
  Blocks blocks;
  for_each_below(source, prefix, [&](std::string_view rest, const SourceTensor&) {
    auto item = numbered(rest);
    if (!item) return;
    const int block = nested ? item->number : 0;
    if (nested) item = numbered(item->rest);
    if (!item) return;
    const Kind kind = kind_of(item->rest);
    if (kind != Kind::kOther) blocks[block].emplace(item->number, kind);
  });
  return blocks;
}

// The names of a module in LDM and in diffusers, and its kind.
struct Target {
  std::string module;
  Kind kind;
};
using Targets = std::map<std::string, Target>;

void map_inputs(const Blocks& blocks, Targets& targets) {
  int level = 0, layer = 0;
  for (const auto& [block, modules] : blocks) {
    const std::string down = indexed("down_blocks", level);
    bool last = false;
    for (const auto& [index, kind] : modules) {
      const std::string name = indexed(indexed("input_blocks", block), index);
      if (kind == Kind::kResnet) {
        targets[name] = {indexed(down + ".resnets", layer), kind};
      } else if (kind == Kind::kAttention) {
        targets[name] = {indexed(down + ".attentions", layer), kind};
      } else if (kind == Kind::kDownsample) {
        targets[name] = {down + ".downsamplers.0", kind};
        last = true;
      }
    }
    ++layer;
    if (last) {
      ++level;
      layer = 0;
    }
  }
}

void map_middle(const Blocks& blocks, Targets& targets) {
  int resnets = 0, attentions = 0;
  if (blocks.empty()) return;
  for (const auto& [index, kind] : blocks.begin()->second) {
    const std::string name = indexed("middle_block", index);
    if (kind == Kind::kResnet) {
      targets[name] = {indexed("mid_block.resnets", resnets++), kind};
    } else if (kind == Kind::kAttention) {
      targets[name] = {indexed("mid_block.attentions", attentions++), kind};
    }
  }
}

void map_outputs(const Blocks& blocks, Targets& targets) {
  int level = 0, layer = 0;
  for (const auto& [block, modules] : blocks) {
    const std::string up = indexed("up_blocks", level);
    bool last = false;
    for (const auto& [index, kind] : modules) {
      const std::string name = indexed(indexed("output_blocks", block), index);
      if (kind == Kind::kResnet) {
        targets[name] = {indexed(up + ".resnets", layer), kind};
      } else if (kind == Kind::kAttention) {
        targets[name] = {indexed(up + ".attentions", layer), kind};
      } else if (kind == Kind::kUpsample) {
        targets[name] = {up + ".upsamplers.0", kind};
        last = true;
      }
    }
    ++layer;
    if (last) {
      ++level;
      layer = 0;
    }
  }
}

Targets targets_of(const SourceTensors& source) {
  Targets targets;
  map_inputs(blocks_of(source, "input_blocks.", true), targets);
  map_middle(blocks_of(source, "middle_block.", false), targets);
  map_outputs(blocks_of(source, "output_blocks.", true), targets);
  return targets;
}

// Renames a tensor inside of a module: "in_layers.0.weight" -> "norm1.weight"; empty if such a
// module has no such tensor.
std::string inside_name(Kind kind, std::string_view inside) {
  if (kind == Kind::kAttention) return std::string(inside);
  if (kind == Kind::kUpsample) return std::string(inside);
  if (kind == Kind::kDownsample) {
    const auto leaf = behind(inside, "op.");
    return leaf ? "conv." + std::string(*leaf) : "";
  }
  for (const LdmPair& pair : kLdmResnet) {
    const auto leaf = behind(inside, pair.ldm);
    if (leaf && leaf->starts_with('.')) return std::string(pair.diffusers) + std::string(*leaf);
  }
  return "";
}

// The length of the module's own name in a tensor's name: of "input_blocks.4.1.proj_in.weight" the
// part "input_blocks.4.1"; the middle block has one number fewer.
size_t module_length(std::string_view name) {
  const size_t points = name.starts_with("middle_block.") ? 2 : 3;
  size_t at = 0;
  for (size_t i = 0; i < points; ++i) {
    at = name.find('.', at);
    if (at == std::string_view::npos) return at;
    ++at;
  }
  return at - 1;
}

std::string outside_name(std::string_view name, const Recognised& what) {
  for (const LdmPair& pair : kLdmOutside) {
    const auto leaf = behind(name, pair.ldm);
    if (!leaf || (*leaf != ".weight" && *leaf != ".bias")) continue;
    const FamilyRow* family = row_of(what.family);
    if (pair.ldm.starts_with("label_emb.0") && family && family->labels_are_classes) {
      return "class_embedding" + std::string(pair.diffusers.substr(13)) + std::string(*leaf);
    }
    return std::string(pair.diffusers) + std::string(*leaf);
  }
  return "";
}

// The convolutions of the condition are every second module of a Sequential, 0 to 14 in the
// released ControlNets.
std::string hint_name(std::string_view rest, const std::vector<int>& convolutions) {
  const auto item = numbered(rest);
  if (!item) return "";
  const auto found = std::find(convolutions.begin(), convolutions.end(), item->number);
  if (found == convolutions.end()) return "";
  const auto index = static_cast<int>(found - convolutions.begin());
  const auto last = static_cast<int>(convolutions.size()) - 1;
  const std::string module = index == 0      ? "conv_in"
                             : index == last ? "conv_out"
                                             : indexed("blocks", index - 1);
  return "controlnet_cond_embedding." + module + "." + std::string(item->rest);
}

std::vector<int> hint_convolutions(const SourceTensors& source) {
  std::set<int> found;
  for_each_below(source, "input_hint_block.", [&](std::string_view rest, const SourceTensor&) {
    if (const auto item = numbered(rest)) found.insert(item->number);
  });
  return {found.begin(), found.end()};
}

std::string control_name(std::string_view name, const std::vector<int>& convolutions) {
  if (const auto rest = behind(name, "input_hint_block.")) return hint_name(*rest, convolutions);
  if (const auto rest = behind(name, "zero_convs.")) {
    const auto item = numbered(*rest);
    const auto leaf = item ? behind(item->rest, "0.") : std::nullopt;
    return leaf ? indexed("controlnet_down_blocks", item->number) + "." + std::string(*leaf) : "";
  }
  return "";
}

void rename_network(const SourceTensors& source, Renamed& out, bool control) {
  const Targets targets = targets_of(source);
  const std::vector<int> convolutions = hint_convolutions(source);
  for (const auto& [name, tensor] : source) {
    std::string renamed = outside_name(name, out.what);
    if (renamed.empty() && control) renamed = control_name(name, convolutions);
    if (renamed.empty()) {
      const size_t length = module_length(name);
      const auto target =
          length == std::string::npos ? targets.end() : targets.find(name.substr(0, length));
      if (target != targets.end()) {
        const std::string inside =
            inside_name(target->second.kind, std::string_view(name).substr(length + 1));
        if (!inside.empty()) renamed = target->second.module + "." + inside;
      }
    }
    if (renamed.empty()) {
      out.leave(tensor);
    } else {
      out.put(tensor, renamed);
    }
  }
}

}  // namespace

void rename_ldm_unet(const SourceTensors& source, Renamed& out) {
  rename_network(source, out, false);
}

void rename_ldm_controlnet(const SourceTensors& source, Renamed& out) {
  rename_network(source, out, true);
}

}  // namespace pangu::io
