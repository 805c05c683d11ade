// The YAML that CompVis's and Stability's repositories configure a model with, as far as it says
// what weights do not: people keep it beside a single file, under the file's name. Architecture is
// read off the tensors. Sources: ldm/models/diffusion/ddpm.py (DDPM, LatentDiffusion),
// sgm/modules/diffusionmodules/denoiser_scaling.py.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "io/families/families.h"

namespace pangu::io {

struct LdmConfig {
  Prediction prediction = Prediction::kUnknown;
  std::optional<double> linear_start, linear_end;  // of the betas, whose roots are linear
  std::optional<double> scale_factor;              // latents a denoiser sees / the autoencoder's
  std::optional<int64_t> timesteps;                // of the training schedule
};

// Error kBadInput naming `name`, line and key for a value of the wrong kind, for noise that a
// DDPM's schedule is not (another beta_schedule, EDM), and for YAML of forms that these files do
// not have where the keys above would stand (anchors, braces, texts of several lines, tabs).
LdmConfig parse_ldm_config(std::string_view text, const std::string& name);
LdmConfig open_ldm_config(const std::string& path);

// The scalars of a YAML text's nested mappings by their paths: "model.params.timesteps" -> "1000".
// Items of lists are not among them.
struct YamlScalar {
  std::string text;  // without quotes and comment; empty above nested keys
  int line = 0;
};
std::map<std::string, YamlScalar> yaml_scalars(std::string_view text, const std::string& name);

}  // namespace pangu::io
