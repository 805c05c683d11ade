// Raw keys (lora_keys.h) against the modules of a base model: names resolved, shapes checked,
// alphas read. Flattened names are looked up, never guessed: '_' may stand for itself.
#include "io/lora/lora_names.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "core/error.h"
#include "io/ldm/ldm_names.h"
#include "io/lora/lora_keys.h"
#include "io/lora/lora_settings.h"
#include "io/lora/textual_inversion.h"
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
    if (module.ends_with(".attn2.to_k") && shape.weight.size() == 2) return shape.weight[1];
  }
  return 0;
}

// A module that the base cannot take, while others of the file may fit.
struct Misfit {
  Error refusal;
  std::string text;
};

constexpr const char* kMissingNorms = "DoRA without its norms (lora_magnitude_vector)";

bool has_norms(const RawDelta& delta) {
  return delta.parts.contains(LoraPart::kOutputNorms) ||
         delta.parts.contains(LoraPart::kInputNorms);
}

bool lacks_norms(const RawDelta& delta, const std::string& component,
                 const LoraSettings& settings) {
  return !has_norms(delta) && (settings.dora.contains(component) || settings.dora.contains(""));
}

class Resolver {
 public:
  Resolver(const RawLora& raw, const BaseModules& base, std::string name)
      : raw_(raw), base_(base), name_(std::move(name)) {
    for (const auto& [component, modules] : base) spellings_.emplace(component, modules);
  }

  // Throws Misfit where the base has no such module, or one of other sides.
  LoraDelta resolve(const RawDelta& raw, const LoraSettings& settings) const {
    const std::string& key = raw.parts.begin()->second->first;
    if (raw.mixes_forms) {
      throw bad_input(name_ + ", tensor " + short_quoted(key), "one form of change a module",
                      "parts of two");
    }
    if (raw.form == LoraForm::kLowRank &&
        raw.parts.contains(LoraPart::kDown) != raw.parts.contains(LoraPart::kUp)) {
      throw bad_input(name_ + ", tensor " + short_quoted(key), "a pair of up and down",
                      raw.parts.contains(LoraPart::kDown) ? "down without up" : "up without down",
                      "the file may be cut short");
    }
    LoraDelta delta;
    delta.component = component_of(raw, key);
    delta.module = module_of(raw, delta.component, key);
    delta.form = raw.form;
    for (const auto& [part, item] : raw.parts) delta.parts[part] = {item->first, item->second};
    const LoraShapes shapes = raw.shapes();
    if (const auto problem =
            lora_misfit(raw.form, shapes, base_.at(delta.component).at(delta.module))) {
      const auto part = raw.parts.find(problem->part);
      misfit(part == raw.parts.end() ? key : part->second->first, problem->expected,
             problem->found);
    }
    if (lacks_norms(raw, delta.component, settings)) {
      throw bad_input(name_ + ", tensor " + short_quoted(key),
                      "DoRA's norms beside it (lora_magnitude_vector), as use_dora says", "none");
    }
    set_scale(raw, shapes, settings, delta);
    return delta;
  }

 private:
  // Throws an Error where the file is for another family as a whole, else a Misfit.
  [[noreturn]] void misfit(const std::string& key, const std::string& expected,
                           const std::string& found) const {
    const Family made_for = family_of(raw_);
    const int64_t context = context_dim_of(raw_), wanted = base_context(base_);
    const bool other = !raw_.foreign.empty() || (context > 0 && wanted > 0 && context != wanted);
    const std::string tensor = "tensor " + short_quoted(key);
    if (!other) {
      throw Misfit{bad_input(name_ + ", " + tensor, expected, found),
                   key + ": expected " + expected + ", found " + found};
    }
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

  void set_scale(const RawDelta& raw, const LoraShapes& shapes, const LoraSettings& settings,
                 LoraDelta& delta) const {
    const auto rank = lora_rank(raw.form, shapes);
    // A Kronecker product of whole factors has a rank by name only.
    const auto named =
        raw.form == LoraForm::kKronecker ? settings.rank_of(delta.component) : std::nullopt;
    if (!rank && !named) return;
    delta.rank = rank ? static_cast<double>(*rank) : *named;
    delta.alpha = delta.rank;
    if (raw.alpha) {
      delta.alpha = scalar_of(raw.alpha->second, raw.alpha->first);
    } else {
      delta.alpha = settings.alpha_of(delta.component, delta.module).value_or(delta.rank);
      if (settings.divides_by_root(delta.component)) delta.alpha *= std::sqrt(delta.rank);
    }
    if (!std::isfinite(delta.alpha) || !(delta.rank > 0) || !std::isfinite(delta.rank)) {
      throw bad_input(name_ + ", alpha of " + short_quoted(delta.module), "a finite number",
                      std::to_string(delta.alpha));
    }
  }

  const RawLora& raw_;
  const BaseModules& base_;
  std::string name_;
  std::map<std::string, Spellings> spellings_;
};

// Of names in alphabetical order, so that "X.bias" comes before "X.weight".
template <class Tensors, class ShapeOf>
ModuleShapes shapes_of_modules(const Tensors& tensors, ShapeOf shape_of_tensor) {
  constexpr std::string_view kWeight = ".weight";
  ModuleShapes modules;
  for (const auto& [name, tensor] : tensors) {
    if (!name.ends_with(kWeight)) continue;
    const std::vector<int64_t> shape = shape_of_tensor(tensor);
    if (shape.size() != 1 && shape.size() != 2 && shape.size() != 4) continue;
    const std::string module = name.substr(0, name.size() - kWeight.size());
    const auto bias = tensors.find(module + ".bias");
    modules[module] = {
        shape, bias == tensors.end() ? std::vector<int64_t>() : shape_of_tensor(bias->second)};
  }
  return modules;
}

std::string listed(const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  std::string text;
  for (size_t i = 0; i < std::min(kShown, names.size()); ++i) {
    text += (i ? ", " : "") + short_quoted(names[i]);
  }
  return text +
         (names.size() > kShown ? " and " + std::to_string(names.size() - kShown) + " more" : "");
}

// "LoRA", "DoRA", ...
std::string form_words(const RawDelta& delta) {
  if (has_norms(delta)) return "DoRA";
  switch (delta.form) {
    case LoraForm::kLowRank:
      return "LoRA";
    case LoraForm::kHadamard:
      return "LoHa";
    case LoraForm::kKronecker:
      return "LoKr";
    case LoraForm::kDifference:
      break;
  }
  return "differences";
}

}  // namespace

ModuleShapes module_shapes(const NamedTensors& tensors) {
  return shapes_of_modules(tensors, [](const NamedTensor& tensor) { return shape_of(tensor); });
}

ModuleShapes module_shapes(const TensorViews& tensors) {
  return shapes_of_modules(tensors, [](const TensorView& view) { return view.shape; });
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
  std::optional<Error> refusal;
  for (const auto& [key, delta] : raw.deltas) {
    try {
      lora.deltas.push_back(resolver.resolve(delta, settings));
    } catch (const Misfit& misfit) {
      if (!refusal) refusal = misfit.refusal;
      lora.misfits.push_back(misfit.text);
      continue;
    }
    const LoraDelta& last = lora.deltas.back();
    if (!seen.emplace(last.component, last.module).second) {
      throw bad_input(name, "each module once", short_quoted(last.module) + " twice");
    }
  }
  if (refusal && lora.deltas.size() <= lora.misfits.size()) throw *refusal;
  std::sort(lora.deltas.begin(), lora.deltas.end(), [](const LoraDelta& a, const LoraDelta& b) {
    return std::pair(a.component, a.module) < std::pair(b.component, b.module);
  });
  return lora;
}

std::vector<std::string> left_out(const Lora& lora, const std::string& name) {
  std::vector<std::string> sentences;
  if (!lora.misfits.empty()) {
    const size_t all = lora.misfits.size() + lora.deltas.size();
    sentences.push_back("'" + name + "': " + std::to_string(lora.misfits.size()) + " of " +
                        std::to_string(all) +
                        " modules do not fit the model and are left out: " + listed(lora.misfits));
  }
  if (!lora.ignored.empty()) {
    sentences.push_back("'" + name + "': these tensors are no part of a LoRA and are left out: " +
                        listed(lora.ignored));
  }
  return sentences;
}

LoraSummary summarise_lora(const TensorViews& tensors, const Metadata& metadata) {
  const RawLora raw = raw_lora_of(tensors);
  LoraSummary summary;
  summary.unsupported = raw.unsupported;
  summary.layout = raw.layout;
  summary.family = family_of(raw);
  summary.made_for =
      raw.foreign.empty() ? family_words(summary.family, context_dim_of(raw)) : raw.foreign;
  summary.ignored = raw.ignored;
  for (const auto& [word, views] : bundled_embeddings(tensors)) summary.embeddings.push_back(word);
  LoraSettings settings;
  try {
    settings = lora_settings_of(metadata, "settings");
  } catch (const Error& problem) {
    summary.unsupported = problem.what();
  }
  for (const auto& [key, delta] : raw.deltas) {
    if (lacks_norms(delta, delta.component, settings) && summary.unsupported.empty()) {
      summary.unsupported = kMissingNorms;
    }
    const std::string component = delta.component.empty() ? "unnamed" : delta.component;
    ++summary.targets[component];
    ++summary.forms[form_words(delta)];
    const LoraShapes shapes = delta.shapes();
    if (const auto rank = lora_rank(delta.form, shapes)) ++summary.ranks[*rank];
    const auto is_kernel = [](const auto& part) {
      const auto& shape = part.second;
      return shape.size() == 4 && (shape[2] != 1 || shape[3] != 1);
    };
    if (shapes.contains(LoraPart::kMid) || std::any_of(shapes.begin(), shapes.end(), is_kernel)) {
      ++summary.convolutions;
    }
    if (delta.alpha && element_count(delta.alpha->second.shape) == 1) {
      ++summary.alphas[scalar_of(delta.alpha->second, delta.alpha->first)];
    } else if (const auto alpha = settings.alpha_of(delta.component, delta.path)) {
      ++summary.alphas[*alpha];
    }
  }
  return summary;
}

}  // namespace pangu::io
