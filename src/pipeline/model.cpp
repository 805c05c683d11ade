#include "pipeline/model.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/utf8.h"

namespace pangu::pipeline {

Residuals& Residuals::add(const Residuals& other, double weight) {
  if (down.empty() && !mid.defined()) {
    for (const at::Tensor& r : other.down) down.push_back(r * weight);
    mid = other.mid * weight;
    return *this;
  }
  for (size_t i = 0; i < down.size(); ++i) down[i] = down[i] + other.down[i] * weight;
  mid = mid + other.mid * weight;
  return *this;
}

void check_controls(const Model& model) {
  const Denoising& d = model.denoising;
  if (d.control_channels == 0 || d.controls.empty()) return;
  throw bad_input("model '" + model.name + "'",
                  "no ControlNet, because it draws from a control picture itself",
                  "'" + d.controls.front().name + "'");
}

std::string styled_prompt(const Model& model, const std::string& style, const std::string& prompt) {
  std::string words = style;
  const auto named = model.styles.find(style);
  if (named != model.styles.end()) {
    const auto language = named->second.find(has_han(prompt) ? "zh" : "en");
    if (language != named->second.end()) words = language->second;
  }
  const std::string slot = "{prompt}";
  const size_t at = words.find(slot);
  if (at == std::string::npos) return words + ", " + prompt;
  return words.replace(at, slot.size(), prompt);
}

}  // namespace pangu::pipeline
