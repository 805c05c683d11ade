// UNets as denoisers of a model, and ControlNets beside them: configurations are read at once,
// weights when they are first needed. It knows no family and no prompt.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/families/networks.h"
#include "pipeline/families/source.h"
#include "pipeline/model.h"

namespace pangu::pipeline {

// A denoiser that can be loaded, and what of it has to be known before.
struct DenoiserSource {
  std::string origin;  // how errors call it
  int64_t in_channels = 0;
  bool reads_guidance = false;  // Expert::reads_guidance
  int64_t levels = 1;  // resolutions: sides of latents are best multiples of 2^(levels - 1)
  std::function<std::shared_ptr<const LoadedDenoiser>(const Watch&)> load;
};

// Error kBadInput if the configuration is none of a UNet that nn/ can make.
DenoiserSource unet_denoiser(const std::shared_ptr<const Component>& component,
                             const Placement& place, const std::shared_ptr<const LoraSet>& loras);

// The ControlNet in a file or folder, called by its file name. Error kBadInput if it is none, or
// one for none of `families`. `base` is the denoiser that it acts on, to which some files hold the
// difference.
Control unet_control(const std::string& path, const std::vector<io::Family>& families,
                     const Placement& place, const std::shared_ptr<const Component>& base);

}  // namespace pangu::pipeline
