// From the names of LDM single files (CompVis, Stability, PanGu-Draw 3, A1111-style ControlNets,
// TAESD) to the names and layouts of diffusers and transformers. Only views are made: no weight is
// read or copied. Numbers of levels, layers and depths are read off the names.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "io/families/families.h"
#include "io/weights_file.h"

namespace pangu::io {

struct Components {
  // "unet", "vae", "text_encoder", "text_encoder_2", "image_encoder", "controlnet".
  // A refiner's one text encoder is "text_encoder_2", as in diffusers. Text encoders keep their
  // last layer and final norm even where the family stops before it.
  std::map<std::string, NamedTensors> parts;
  // Tensors that no rule knows, as named in the file.
  std::vector<std::string> unexpected;
  // "unet.up_blocks.1.resnets.0.conv1.weight": what the structure around it implies, and is absent.
  std::vector<std::string> missing;
  // Left out on purpose: "EMA copy", "buffer", "optimizer state", ... -> how many.
  std::map<std::string, size_t> skipped;
};

// Splits and renames. A file in the layout of diffusers comes back as it is, under its component's
// name. Error kBadInput naming the tensor whose shape contradicts its name (a fused projection that
// is no multiple of three, an attention that is no 1x1).
Components components_of(const TensorViews& tensors, const Recognised& what);

// The same, and Error kBadInput that lists the first of `missing` if there are any; with `wanted`,
// of the components whose names begin so alone. `name` is how it calls the file.
Components complete_components_of(const TensorViews& tensors, const Recognised& what,
                                  const std::string& name, const std::string& wanted = "");

// Tensors that the structure of `tensors` implies and that are absent; `component` as above.
std::vector<std::string> missing_of(const std::string& component, const NamedTensors& tensors);

// For every module of a UNet named as in diffusers, its LDM name
// ("down_blocks.1.attentions.0.proj_in"
// -> "input_blocks.4.1.proj_in"). Modules without counterpart are left out.
std::map<std::string, std::string> ldm_modules_of(const std::vector<std::string>& unet_modules);

}  // namespace pangu::io
