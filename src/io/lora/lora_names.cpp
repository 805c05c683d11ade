// Raw keys (lora_keys.h) against the modules of a base model: names resolved, shapes checked,
// alphas read. Flattened names are looked up, never guessed: '_' may stand for itself.
#include "io/lora/lora_names.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "io/ldm/ldm_names.h"
#include "io/lora/lora_keys.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

std::string flattened(std::string path) {
  std::replace(path.begin(), path.end(), '.', '_');
  return path;
}

// Every spelling of a component's modules -> the module.
struct Spellings {
  std::map<std::string, std::string> dotted, flat;

  explicit Spellings(const ModuleShapes& modules) {
    std::vector<std::string> names;
    for (const auto& [module, shape] : modules) names.push_back(module);
    for (const std::string& module : names) add(module, module);
    // Second, so that a network's own names go first.
    for (const auto& [module, ldm] : ldm_modules_of(names)) add(ldm, module);
    for (const std::string& module : names) {
      if (const auto inside = behind(module, "text_model.")) add(std::string(*inside), module);
    }
  }
  void add(const std::string& spelling, const std::string& module) {
    dotted.emplace(spelling, module);
    flat.emplace(flattened(spelling), module);
  }
};

std::string family_words(Family family, int64_t context) {
  if (family != Family::kUnknown) return name_of(family);
  return context > 0 ? "a network with context width " + std::to_string(context)
                     : "an unknown family";
}

int64_t base_context(const BaseModules& base) {
  const auto unet = base.find("unet");
  if (unet == base.end()) return 0;
  for (const auto& [module, shape] : unet->second) {
    if (module.ends_with(".attn2.to_k") && shape.size() == 2) return shape[1];
  }
  return 0;
}

class Resolver {
 public:
  Resolver(const RawLora& raw, const BaseModules& base, std::string name)
      : raw_(raw), base_(base), name_(std::move(name)) {
    for (const auto& [component, modules] : base) spellings_.emplace(component, modules);
  }

  LoraDelta resolve(const RawDelta& raw, const LoraSettings& settings) const {
    const std::string& key = (raw.down ? raw.down : raw.up ? raw.up : raw.mid)->first;
    if (!raw.down || !raw.up) {
      throw bad_input(name_ + ", tensor " + short_quoted(key), "a pair of up and down",
                      raw.down ? "down without up"
                      : raw.up ? "up without down"
                               : "neither",
                      "the file may be cut short");
    }
    LoraDelta delta;
    delta.component = component_of(raw, key);
    delta.module = module_of(raw, delta.component, key);
    delta.down = raw.down->second;
    delta.up = raw.up->second;
    if (raw.mid) delta.mid = raw.mid->second;
    check_shapes(raw, delta);
    delta.rank = delta.down.shape[0];
    delta.alpha = alpha_of(raw, delta, settings);
    return delta;
  }

 private:
  [[noreturn]] void misfit(const std::string& key, const std::string& expected,
                           const std::string& found) const {
    const Family made_for = family_of(raw_);
    const int64_t context = context_dim_of(raw_), wanted = base_context(base_);
    const bool other = !raw_.foreign.empty() || (context > 0 && wanted > 0 && context != wanted);
    const std::string tensor = "tensor " + short_quoted(key);
    if (!other) throw bad_input(name_ + ", " + tensor, expected, found);
    const std::string theirs =
        raw_.foreign.empty() ? family_words(made_for, context) : raw_.foreign;
    throw bad_input(name_, "a LoRA for " + family_words(family_of_context(wanted), wanted),
                    "one for " + theirs + " (" + tensor + " does not fit: expected " + expected +
                        ", found " + found + ")",
                    "use it with a model of its own family");
  }

  std::string component_of(const RawDelta& raw, const std::string& key) const {
    if (!raw.component.empty()) {
      if (!base_.count(raw.component)) {
        misfit(key, "changes of components that the model has", "one of " + raw.component);
      }
      return raw.component;
    }
    for (const auto& [component, spellings] : spellings_) {  // PEFT says no component
      if (spellings.dotted.count(raw.path)) return component;
    }
    misfit(key, "a module of the model", short_quoted(raw.path));
  }

  std::string module_of(const RawDelta& raw, const std::string& component,
                        const std::string& key) const {
    const Spellings& spellings = spellings_.at(component);
    const auto& table = raw.flattened ? spellings.flat : spellings.dotted;
    const auto found = table.find(raw.path);
    if (found == table.end()) {
      misfit(key, "a module of the model's " + component, short_quoted(raw.path));
    }
    return found->second;
  }

  // A 1x1 convolution and a matrix are the same change.
  static bool same_inside(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
    for (size_t axis = 2; axis < std::max(a.size(), b.size()); ++axis) {
      if ((axis < a.size() ? a[axis] : 1) != (axis < b.size() ? b[axis] : 1)) return false;
    }
    return true;
  }

  void check_shapes(const RawDelta& raw, const LoraDelta& delta) const {
    const std::vector<int64_t>& base = base_.at(delta.component).at(delta.module);
    const auto& down = delta.down.shape;
    const auto& up = delta.up.shape;
    const auto two_or_four = [](const auto& shape) {
      return shape.size() == 2 || shape.size() == 4;
    };
    const std::string wanted = "a change of " + shape_text(base);
    if (!two_or_four(down) || down[0] < 1 || down[1] != base[1]) {
      misfit(raw.down->first, wanted, "shape " + shape_text(down));
    }
    if (!two_or_four(up) || up[0] != base[0] || up[1] != down[0] || !same_inside(up, {})) {
      misfit(raw.up->first, wanted + " with rank " + std::to_string(down[0]),
             "shape " + shape_text(up));
    }
    if (!delta.mid) {
      if (!same_inside(down, base)) misfit(raw.down->first, wanted, "shape " + shape_text(down));
      return;
    }
    const auto& mid = delta.mid->shape;
    if (mid.size() != 4 || mid[0] != down[0] || mid[1] != down[0] || !same_inside(mid, base) ||
        !same_inside(down, {})) {
      misfit(raw.mid->first, wanted + " with rank " + std::to_string(down[0]),
             "shape " + shape_text(mid));
    }
  }

  double alpha_of(const RawDelta& raw, const LoraDelta& delta, const LoraSettings& settings) const {
    const auto rank = static_cast<double>(delta.rank);
    double alpha = rank;
    if (raw.alpha) {
      alpha = scalar_of(raw.alpha->second, raw.alpha->first);
    } else {
      const auto own = settings.alphas.find(delta.component + "." + delta.module);
      const auto all = settings.alphas.find(delta.component);
      if (own != settings.alphas.end()) {
        alpha = own->second;
      } else if (all != settings.alphas.end()) {
        alpha = all->second;
      }
      const auto root = settings.divide_by_root.find(delta.component);
      if (root != settings.divide_by_root.end() && root->second) alpha *= std::sqrt(rank);
    }
    if (!std::isfinite(alpha)) {
      throw bad_input(name_ + ", alpha of " + short_quoted(delta.module), "a finite number",
                      std::to_string(alpha));
    }
    return alpha;
  }

  const RawLora& raw_;
  const BaseModules& base_;
  std::string name_;
  std::map<std::string, Spellings> spellings_;
};

ModuleShapes shapes_of(const std::string& name, std::vector<int64_t> shape) {
  constexpr std::string_view kWeight = ".weight";
  if (!name.ends_with(kWeight) || (shape.size() != 2 && shape.size() != 4)) return {};
  return {{name.substr(0, name.size() - kWeight.size()), std::move(shape)}};
}

}  // namespace

ModuleShapes module_shapes(const NamedTensors& tensors) {
  ModuleShapes shapes;
  for (const auto& [name, tensor] : tensors) shapes.merge(shapes_of(name, shape_of(tensor)));
  return shapes;
}

ModuleShapes module_shapes(const TensorViews& tensors) {
  ModuleShapes shapes;
  for (const auto& [name, view] : tensors) shapes.merge(shapes_of(name, view.shape));
  return shapes;
}

Lora parse_lora(const TensorViews& tensors, const Metadata& metadata, const BaseModules& base,
                const std::string& name) {
  const RawLora raw = raw_lora_of(tensors);
  if (!raw.unsupported.empty()) {
    throw bad_input(name, "a LoRA",
                    raw.unsupported + " (tensor " + short_quoted(raw.unsupported_key) + ")",
                    "this kind of adapter is not supported; merge it into a model elsewhere");
  }
  if (raw.deltas.empty()) {
    throw bad_input(name, "a LoRA", tensors.empty() ? "no tensors" : recognise(tensors).human_name);
  }
  const LoraSettings settings = lora_settings_of(metadata, name);
  const Resolver resolver(raw, base, name);
  Lora lora;
  lora.family = family_of(raw);
  lora.ignored = raw.ignored;
  std::set<std::pair<std::string, std::string>> seen;
  for (const auto& [key, delta] : raw.deltas) {
    lora.deltas.push_back(resolver.resolve(delta, settings));
    const LoraDelta& last = lora.deltas.back();
    if (!seen.emplace(last.component, last.module).second) {
      throw bad_input(name, "each module once", short_quoted(last.module) + " twice");
    }
  }
  std::sort(lora.deltas.begin(), lora.deltas.end(), [](const LoraDelta& a, const LoraDelta& b) {
    return std::pair(a.component, a.module) < std::pair(b.component, b.module);
  });
  return lora;
}

LoraSummary summarise_lora(const TensorViews& tensors, const Metadata& metadata) {
  const RawLora raw = raw_lora_of(tensors);
  LoraSummary summary;
  summary.unsupported = raw.unsupported;
  summary.layout = raw.layout;
  summary.family = family_of(raw);
  summary.made_for =
      raw.foreign.empty() ? family_words(summary.family, context_dim_of(raw)) : raw.foreign;
  LoraSettings settings;
  try {
    settings = lora_settings_of(metadata, "metadata");
  } catch (const Error&) {
    summary.unsupported = "unreadable settings";
  }
  for (const auto& [key, delta] : raw.deltas) {
    const std::string component = delta.component.empty() ? "unnamed" : delta.component;
    ++summary.targets[component];
    if (delta.down && !delta.down->second.shape.empty()) {
      const auto& shape = delta.down->second.shape;
      ++summary.ranks[shape[0]];
      if (shape.size() == 4 && (shape[2] != 1 || shape[3] != 1 || delta.mid))
        ++summary.convolutions;
    }
    if (delta.alpha && element_count(delta.alpha->second.shape) == 1) {
      ++summary.alphas[scalar_of(delta.alpha->second, delta.alpha->first)];
    } else if (settings.alphas.count(component)) {
      ++summary.alphas[settings.alphas.at(component)];
    }
  }
  return summary;
}

}  // namespace pangu::io
