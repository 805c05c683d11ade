// The inverse of ldm_unet.cpp: LDM's names of modules by their names in diffusers, which LoRA files
// for SDXL and single files that are written need.
#include "io/ldm/ldm_names.h"
#include "io/ldm/ldm_parts.h"
#include "io/ldm/ldm_unet_names.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

// Returns the number of blocks of input_blocks or output_blocks before each level.
std::vector<int> first_blocks(const std::map<std::string, int>& modules, const std::string& list,
                              int first, bool downsampler_counts) {
  std::vector<int> starts;
  const int levels = count_below(modules, list + ".");
  for (int level = 0; level < levels; ++level) {
    starts.push_back(first);
    first += count_below(modules, indexed(list, level) + ".resnets.");
    if (downsampler_counts) ++first;
  }
  return starts;
}

std::string ldm_resnet(std::string_view inside) {
  for (const LdmPair& pair : kLdmResnet) {
    if (inside == pair.diffusers) return std::string(pair.ldm);
  }
  return "";
}

// Renames a module within a level: "resnets.1.conv1" -> "5.0.in_layers.2", where 5 is the block's
// number. Empty if LDM has no such module.
std::string ldm_in_level(std::string_view rest, int first, int layers, bool attends, bool up) {
  if (const auto inside = behind(rest, "resnets.")) {
    const auto item = numbered(*inside);
    const std::string leaf = item ? ldm_resnet(item->rest) : "";
    return leaf.empty() ? "" : std::to_string(first + item->number) + ".0." + leaf;
  }
  if (const auto inside = behind(rest, "attentions.")) {
    const auto item = numbered(*inside);
    return item ? std::to_string(first + item->number) + ".1." + std::string(item->rest) : "";
  }
  if (!up && rest == "downsamplers.0.conv") return std::to_string(first + layers) + ".0.op";
  if (up && rest == "upsamplers.0.conv") {
    return std::to_string(first + layers - 1) + (attends ? ".2.conv" : ".1.conv");
  }
  return "";
}

}  // namespace

std::map<std::string, std::string> ldm_modules_of(const std::vector<std::string>& unet_modules) {
  std::map<std::string, int> modules;
  for (const std::string& module : unet_modules) modules.emplace(module, 0);
  const std::vector<int> down = first_blocks(modules, "down_blocks", 1, true);
  const std::vector<int> up = first_blocks(modules, "up_blocks", 0, false);
  std::map<std::string, std::string> names;
  for (const auto& [module, unused] : modules) {
    for (const LdmPair& pair : kLdmOutside) {
      if (module == pair.diffusers) names[module] = pair.ldm;
    }
    for (const bool upwards : {false, true}) {
      const std::string list = upwards ? "up_blocks" : "down_blocks";
      const auto rest = behind(module, list + ".");
      const auto item = rest ? numbered(*rest) : std::nullopt;
      if (!item) continue;
      const auto level = static_cast<size_t>(item->number);
      const std::string inside = indexed(list, item->number);
      const std::string ldm = ldm_in_level(item->rest, (upwards ? up : down)[level],
                                           count_below(modules, inside + ".resnets."),
                                           any_begins(modules, inside + ".attentions."), upwards);
      if (!ldm.empty()) names[module] = (upwards ? "output_blocks." : "input_blocks.") + ldm;
    }
    if (const auto rest = behind(module, "mid_block.resnets.")) {
      const auto item = numbered(*rest);
      const std::string leaf = item ? ldm_resnet(item->rest) : "";
      if (!leaf.empty()) names[module] = indexed("middle_block", 2 * item->number) + "." + leaf;
    } else if (const auto attention = behind(module, "mid_block.attentions.")) {
      const auto item = numbered(*attention);
      if (item) {
        names[module] =
            indexed("middle_block", 2 * item->number + 1) + "." + std::string(item->rest);
      }
    }
  }
  return names;
}

void restore_ldm_unet(const NamedTensors& given, Restored& out) {
  const auto module_of = [](const std::string& name) { return name.substr(0, name.rfind('.')); };
  std::vector<std::string> modules;
  for (const auto& [name, tensor] : given) modules.push_back(module_of(name));
  const std::map<std::string, std::string> ldm = ldm_modules_of(modules);
  for (const auto& [name, tensor] : given) {
    const std::string module = module_of(name);
    const auto found = ldm.find(module);
    if (found == ldm.end()) {
      out.nameless.push_back(name);
    } else {
      out.put(found->second + name.substr(module.size()), name, tensor);
    }
  }
}

}  // namespace pangu::io
