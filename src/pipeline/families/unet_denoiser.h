// Opens UNets as denoisers of a model, and ControlNets: configurations are read at once, weights
// when they are first needed. It knows no family and no prompt.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/families/networks.h"
#include "pipeline/families/source.h"
#include "pipeline/model.h"

namespace pangu::pipeline {

// A denoiser whose weights are not loaded yet, and what must be known of it before.
struct DenoiserSource {
  std::string origin;  // what errors call it
  int64_t in_channels = 0;
  bool reads_guidance = false;  // Expert::reads_guidance
  int64_t levels = 1;           // number of resolutions: best sides are multiples of 2^(levels-1)
  int64_t skip_states = 1;      // nn::UNetConfig::skip_states
  std::optional<int64_t> side;  // in latent pixels, that it says it was trained at
  std::function<std::shared_ptr<const LoadedDenoiser>(const Watch&)> load;
};

// Throws kBadInput if the configuration is not that of a UNet that nn/ can make.
DenoiserSource unet_denoiser(const std::shared_ptr<const Component>& component,
                             const Placement& place, const std::shared_ptr<const LoraSet>& loras);

// Opens the ControlNet in a file or folder; its name is the file's. Throws kBadInput if it is none,
// or if it is made for none of `families`. `base` is the denoiser that it acts on; some files hold
// the difference from its weights.
Control unet_control(const std::string& path, const std::vector<io::Family>& families,
                     const Placement& place, const std::shared_ptr<const Component>& base);

}  // namespace pangu::pipeline
