#include "pipeline/model.h"

#include <ATen/ATen.h>

#include <utility>

#include "core/error.h"
#include "core/utf8.h"
#include "nn/unet/controlnet.h"

namespace pangu::pipeline {

Residuals& Residuals::add(const Residuals& other, double weight) {
  nn::ControlResiduals sum{down, mid}, more;
  for (const at::Tensor& r : other.down) more.down.push_back(r * weight);
  if (other.mid.defined()) more.mid = other.mid * weight;
  nn::add_residuals(sum, more);
  down = std::move(sum.down);
  mid = std::move(sum.mid);
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
