#include "io/ldm/ldm_config.h"

#include <array>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "core/number.h"
#include "io/json_file.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

constexpr size_t kMaxConfigBytes = size_t{1} << 20;
constexpr size_t kMaxDepth = 64;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) + 1 - first);
}

std::string where(const std::string& name, int line) {
  return name + ", line " + std::to_string(line);
}

// A value without its comment and quotes. A '#' begins a comment at the start or behind a blank.
std::string scalar_text(std::string_view text) {
  if (text.size() > 1 && (text.front() == '"' || text.front() == '\'')) {
    const size_t end = text.find(text.front(), 1);
    if (end != std::string_view::npos) return std::string(text.substr(1, end - 1));
  }
  for (size_t at = text.find('#'); at != std::string_view::npos; at = text.find('#', at + 1)) {
    if (at == 0 || text[at - 1] == ' ' || text[at - 1] == '\t')
      return std::string(trimmed(text.substr(0, at)));
  }
  return std::string(text);
}

// "key: value" -> its two halves; false for anything else.
bool split_key(std::string_view line, std::string_view& key, std::string_view& value) {
  if (line.starts_with('"') || line.starts_with('\'')) {  // a quoted key
    const size_t end = line.find(line.front(), 1);
    if (end == std::string_view::npos || end + 1 >= line.size() || line[end + 1] != ':')
      return false;
    key = line.substr(1, end - 1);
    value = trimmed(line.substr(end + 2));
    return true;
  }
  for (size_t at = line.find(':'); at != std::string_view::npos; at = line.find(':', at + 1)) {
    if (at + 1 != line.size() && line[at + 1] != ' ' && line[at + 1] != '\t') continue;
    key = trimmed(line.substr(0, at));
    value = trimmed(line.substr(at + 1));
    return !key.empty();
  }
  return false;
}

// Reads what is asked for by path, and refuses forms that would hide it.
class LdmKeys {
 public:
  LdmKeys(std::map<std::string, YamlScalar> scalars, const std::string& name)
      : scalars_(std::move(scalars)), name_(name) {}

  std::string text(const std::string& path) const {
    for (size_t at = path.find('.'); at != std::string::npos; at = path.find('.', at + 1)) {
      const YamlScalar* above = find(path.substr(0, at));
      if (above && !above->text.empty()) {
        throw error(*above, path.substr(0, at), "nested keys, one a line", above->text);
      }
    }
    const YamlScalar* found = find(path);
    if (!found) return "";
    constexpr std::string_view kForms = "&*|>{[!";
    if (!found->text.empty() && kForms.find(found->text.front()) != std::string_view::npos) {
      throw error(*found, path, "a plain value", found->text);
    }
    return found->text == "null" || found->text == "~" ? "" : found->text;
  }

  std::optional<double> number(const std::string& path) const {
    const std::string value = text(path);
    if (value.empty()) return std::nullopt;
    const double number = number_of(where(name_, find(path)->line) + ", key '" + path + "'", value);
    if (!(std::isfinite(number) && number > 0)) {
      throw error(*find(path), path, "a number above 0", value);
    }
    return number;
  }

  Error error(const std::string& path, const std::string& expected) const {
    return error(*find(path), path, expected, find(path)->text);
  }

 private:
  const YamlScalar* find(const std::string& path) const {
    const auto found = scalars_.find(path);
    return found == scalars_.end() ? nullptr : &found->second;
  }
  Error error(const YamlScalar& at, const std::string& path, const std::string& expected,
              const std::string& found) const {
    return bad_input(where(name_, at.line) + ", key '" + path + "'", expected, short_quoted(found));
  }

  std::map<std::string, YamlScalar> scalars_;
  const std::string& name_;
};

// Of latent-diffusion: "eps", "x0" or "v".
Prediction prediction_of_ldm(const LdmKeys& keys) {
  const std::string key = "model.params.parameterization", said = keys.text(key);
  if (said == "v") return Prediction::kV;
  if (said == "eps") return Prediction::kEps;
  if (!said.empty()) throw keys.error(key, "eps or v");
  return Prediction::kUnknown;
}

// Of Stability's generative-models: a class for how the network's output becomes x0.
Prediction prediction_of_sgm(const LdmKeys& keys) {
  const std::string denoiser = "model.params.denoiser_config.";
  const std::string key = denoiser + "params.scaling_config.target", said = keys.text(key);
  if (said.empty()) return Prediction::kUnknown;
  if (said.ends_with(".VScaling")) return Prediction::kV;
  if (said.ends_with(".EpsScaling")) return Prediction::kEps;
  throw keys.error(key, "EpsScaling or VScaling of a discrete schedule");
}

}  // namespace

std::map<std::string, YamlScalar> yaml_scalars(std::string_view text, const std::string& name) {
  if (text.size() > kMaxConfigBytes) {
    throw bad_input(name, "at most " + std::to_string(kMaxConfigBytes) + " bytes",
                    std::to_string(text.size()));
  }
  struct Open {
    size_t indent;
    std::string path;
  };
  std::vector<Open> open;
  std::map<std::string, YamlScalar> scalars;
  int line_number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    ++line_number;
    const std::string_view content = trimmed(line);
    if (content.empty() || content.front() == '#' || content == "---") continue;
    const size_t indent = line.find_first_not_of(' ');
    if (line[indent] == '\t') {
      throw bad_input(where(name, line_number), "blanks in front of a key", "a tab");
    }
    while (!open.empty() && open.back().indent >= indent) open.pop_back();
    std::string_view key, value;
    // Items of lists, and what goes on from the line before.
    const bool is_item = content.starts_with("- ") || content == "-";
    if (is_item || !split_key(content, key, value)) continue;
    if (open.size() >= kMaxDepth) {
      throw bad_input(where(name, line_number), "at most 64 levels of keys", "more");
    }
    const std::string path = (open.empty() ? "" : open.back().path + ".") + std::string(key);
    scalars[path] = {scalar_text(value), line_number};
    open.push_back({indent, path});
  }
  return scalars;
}

LdmConfig parse_ldm_config(std::string_view text, const std::string& name) {
  const LdmKeys keys(yaml_scalars(text, name), name);
  LdmConfig config;
  config.prediction = prediction_of_ldm(keys);
  if (config.prediction == Prediction::kUnknown) config.prediction = prediction_of_sgm(keys);
  // LDM's "linear" is linear in the roots.
  const std::string schedule = keys.text("model.params.beta_schedule");
  if (!schedule.empty() && schedule != "linear") {
    throw keys.error("model.params.beta_schedule", "linear");
  }
  config.linear_start = keys.number("model.params.linear_start");
  config.linear_end = keys.number("model.params.linear_end");
  config.scale_factor = keys.number("model.params.scale_factor");
  constexpr double kMostTimesteps = 1e6;
  if (const auto timesteps = keys.number("model.params.timesteps")) {
    if (*timesteps != std::floor(*timesteps) || *timesteps > kMostTimesteps) {
      throw keys.error("model.params.timesteps", "a whole number up to a million");
    }
    config.timesteps = static_cast<int64_t>(*timesteps);
  }
  return config;
}

LdmConfig open_ldm_config(const std::string& path) {
  return parse_ldm_config(read_text_file(path, kMaxConfigBytes), "'" + path + "'");
}

}  // namespace pangu::io
