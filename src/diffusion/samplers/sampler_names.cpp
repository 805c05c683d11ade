#include "diffusion/samplers/sampler_names.h"

#include <string_view>

#include "core/error.h"
#include "core/message.h"
#include "core/nearest.h"
#include "diffusion/samplers/samplers.h"
#include "diffusion/sigmas.h"

namespace pangu::diffusion {
namespace {

// What is left of a name when its spelling does not count: "DPM++ 2M SDE" -> "dpmpp2msde".
std::string bare_name(std::string_view name) {
  if (name.starts_with("k_")) name.remove_prefix(2);  // as k-diffusion's are often called
  std::string bare;
  for (const char c : name) {
    if (c == ' ' || c == '_' || c == '-') continue;
    bare += c == '+' ? 'p' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return bare;
}

template <class Entry>
std::vector<std::string> names_of_entry(const Entry& entry) {
  std::vector<std::string> names = {entry.name, entry.web_name};
  names.insert(names.end(), entry.other_names.begin(), entry.other_names.end());
  std::erase(names, "");
  return names;
}

template <class Entry>
const Entry* entry_called(const std::vector<Entry>& entries, const std::string& bare) {
  for (const Entry& entry : entries) {
    for (const std::string& name : names_of_entry(entry)) {
      if (bare_name(name) == bare) return &entry;
    }
  }
  return nullptr;
}

// "dpmpp2mkarras": the sampler in front of a schedule's name.
std::optional<NamedSampler> with_schedule(const std::string& bare) {
  for (const SigmaRule& rule : sigma_rules()) {
    for (const std::string& name : names_of_entry(rule)) {
      const std::string end = bare_name(name);
      if (!bare.ends_with(end)) continue;
      const Sampler* sampler = entry_called(samplers(), bare.substr(0, bare.size() - end.size()));
      if (sampler) return NamedSampler{sampler->name, rule.name};
    }
  }
  return std::nullopt;
}

template <class Entry>
[[noreturn]] void refuse_name(const char* what, const std::vector<Entry>& entries,
                              const std::string& text) {
  std::string known;
  std::vector<std::string> all;
  for (const Entry& entry : entries) {
    known += (known.empty() ? "one of " : ", ") + entry.name;
    all.push_back(entry.name);
  }
  std::string hint = did_you_mean(text, all);
  if (hint.empty()) hint = did_you_mean(bare_name(text), all);
  throw bad_input(what, known, "'" + shortened(text) + "'", hint);
}

}  // namespace

NamedSampler named_sampler(const std::string& text) {
  const std::string bare = bare_name(text);
  if (const Sampler* sampler = entry_called(samplers(), bare)) return {sampler->name, {}};
  if (const auto both = with_schedule(bare)) return *both;
  refuse_name("sampler", samplers(), text);
}

std::optional<std::string> named_schedule(const std::string& text) {
  const std::string bare = bare_name(text);
  if (bare == "automatic") return std::nullopt;
  if (const SigmaRule* rule = entry_called(sigma_rules(), bare)) return rule->name;
  refuse_name("schedule", sigma_rules(), text);
}

}  // namespace pangu::diffusion
