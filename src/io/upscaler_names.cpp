#include "io/upscaler_names.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>

#include "core/error.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

std::string_view unwrapped(std::string_view name) {
  for (const std::string_view wrapper : {"params_ema.", "params.", "module."}) {
    if (const auto rest = behind(name, wrapper)) return *rest;
  }
  return name;
}

// "3.RDB1.conv2.weight" or "3.rdb1.conv2.0.weight" -> "body.3.rdb1.conv2.weight".
std::optional<std::string> dense_block_name(std::string_view rest) {
  const auto block = numbered(rest);
  if (!block) return std::nullopt;
  auto inner = behind(block->rest, "RDB");
  if (!inner) inner = behind(block->rest, "rdb");
  const auto dense = inner ? numbered(*inner) : std::nullopt;
  const auto layer = dense ? behind(dense->rest, "conv") : std::nullopt;
  const auto conv = layer ? numbered(*layer) : std::nullopt;
  if (!conv || dense->number < 1 || dense->number > 3 || conv->number < 1 || conv->number > 5) {
    return std::nullopt;
  }
  const std::string_view leaf = behind(conv->rest, "0.").value_or(conv->rest);
  if (leaf != "weight" && leaf != "bias") return std::nullopt;
  return "body." + std::to_string(block->number) + ".rdb" + std::to_string(dense->number) +
         ".conv" + std::to_string(conv->number) + "." + std::string(leaf);
}

bool is_leaf(std::string_view text) { return text == "weight" || text == "bias"; }

// Names of BasicSR, and of the second ESRGAN code.
std::optional<std::string> named_layer(std::string_view name) {
  for (const std::string_view trunk : {"body.", "RRDB_trunk."}) {
    if (const auto rest = behind(name, trunk)) return dense_block_name(*rest);
  }
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kLayers = {{
      {"conv_first.", "conv_first."},
      {"conv_body.", "conv_body."},
      {"trunk_conv.", "conv_body."},
      {"conv_hr.", "conv_hr."},
      {"HRconv.", "conv_hr."},
      {"conv_last.", "conv_last."},
  }};
  for (const auto& [from, to] : kLayers) {
    const auto leaf = behind(name, from);
    if (leaf && is_leaf(*leaf)) return std::string(to) + std::string(*leaf);
  }
  for (const std::string_view up : {"conv_up", "upconv"}) {
    const auto rest = behind(name, up);
    const auto layer = rest ? numbered(*rest) : std::nullopt;
    if (layer && layer->number >= 1 && is_leaf(layer->rest)) {
      return "conv_up" + std::to_string(layer->number) + "." + std::string(layer->rest);
    }
  }
  return std::nullopt;
}

// Names of the first ESRGAN code: layers by their place in a list, activations and enlargements
// counted. `behind_trunk` are the places of convolutions behind the trunk, in order.
std::optional<std::string> listed_layer(std::string_view rest,
                                        const std::vector<int>& behind_trunk) {
  const auto layer = numbered(rest);
  if (!layer) return std::nullopt;
  if (layer->number == 0 && is_leaf(layer->rest)) return "conv_first." + std::string(layer->rest);
  if (layer->number == 1) {
    const auto inside = behind(layer->rest, "sub.");
    const auto block = inside ? numbered(*inside) : std::nullopt;
    if (block && is_leaf(block->rest)) return "conv_body." + std::string(block->rest);
    return inside ? dense_block_name(*inside) : std::nullopt;
  }
  const auto found = std::find(behind_trunk.begin(), behind_trunk.end(), layer->number);
  if (found == behind_trunk.end() || !is_leaf(layer->rest)) return std::nullopt;
  const auto place = static_cast<size_t>(found - behind_trunk.begin());
  const std::string leaf(layer->rest);
  if (place + 1 == behind_trunk.size()) return "conv_last." + leaf;
  if (place + 2 == behind_trunk.size()) return "conv_hr." + leaf;
  return "conv_up" + std::to_string(place + 1) + "." + leaf;
}

std::vector<int> places_behind_trunk(const std::vector<std::string>& names) {
  std::set<int> places;
  for (const std::string& name : names) {
    const auto rest = behind(unwrapped(name), "model.");
    const auto layer = rest ? numbered(*rest) : std::nullopt;
    if (layer && layer->number > 1 && is_leaf(layer->rest)) places.insert(layer->number);
  }
  return {places.begin(), places.end()};
}

std::optional<std::string> rrdb_name(std::string_view name, const std::vector<int>& behind_trunk) {
  const std::string_view own = unwrapped(name);
  if (const auto rest = behind(own, "model.")) return listed_layer(*rest, behind_trunk);
  return named_layer(own);
}

}  // namespace

std::map<std::string, std::string> rrdb_names(const std::vector<std::string>& names,
                                              const std::string& what) {
  const std::vector<int> behind_trunk = places_behind_trunk(names);
  std::map<std::string, std::string> renamed;
  std::set<std::string> taken;
  for (const std::string& name : names) {
    const auto own = rrdb_name(name, behind_trunk);
    if (!own) {
      throw bad_input(what, "an ESRGAN upscaler (RRDBNet)", "the tensor " + short_quoted(name));
    }
    if (!taken.insert(*own).second) {
      throw bad_input(what, "each layer once",
                      *own + " twice, the second as " + short_quoted(name));
    }
    renamed[name] = *own;
  }
  if (taken.count("conv_first.weight") == 0 || taken.count("body.0.rdb1.conv1.weight") == 0) {
    throw bad_input(what, "an ESRGAN upscaler (RRDBNet)", "no conv_first or no residual block");
  }
  return renamed;
}

bool is_rrdb_net(const std::vector<std::string>& names) {
  const std::vector<int> behind_trunk = places_behind_trunk(names);
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return rrdb_name(name, behind_trunk) == "body.0.rdb1.conv1.weight";
  });
}

}  // namespace pangu::io
