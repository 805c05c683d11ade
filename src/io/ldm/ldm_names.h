// Renames the tensors of LDM single files (CompVis, Stability, PanGu-Draw 3, A1111-style
// ControlNets, TAESD) to the names and layouts of diffusers and transformers. Only views are made:
// no weight is read or copied. Numbers of levels, layers and depths are read off the names.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "io/families/families.h"
#include "io/weights_file.h"

namespace pangu::io {

struct Components {
  // "unet", "vae", "text_encoder", "text_encoder_2", "image_encoder", "controlnet".
  // A refiner's only text encoder is "text_encoder_2", as in diffusers. Text encoders keep their
  // last layer and final norm even where the family does not use them.
  std::map<std::string, NamedTensors> parts;
  // The tensors that no rule knows, as named in the file.
  std::vector<std::string> unexpected;
  // The tensors that the structure implies and that are absent:
  // "unet.up_blocks.1.resnets.0.conv1.weight".
  std::vector<std::string> missing;
  // The numbers of tensors that were left out on purpose, by kind: "EMA copy", "buffer", "optimizer
  // state", ...
  std::map<std::string, size_t> skipped;
};

// Splits a file into components and renames their tensors. A file in the layout of diffusers is
// returned as it is, under its component's name. Throws kBadInput naming the tensor whose shape
// contradicts its name (a fused projection that is no multiple of three, an attention that is no
// 1x1).
Components components_of(const TensorViews& tensors, const Recognised& what);

// The same; throws kBadInput that lists the first of `missing` if there are any. With `wanted`,
// only tensors of the components whose names begin so are missed. `name` stands for the file in
// errors.
Components complete_components_of(const TensorViews& tensors, const Recognised& what,
                                  const std::string& name, const std::string& wanted = "");

// Returns the tensors that the structure of `tensors` implies and that are absent; `component` is a
// name of Components::parts.
std::vector<std::string> missing_of(const std::string& component, const NamedTensors& tensors);

// Returns LDM's name of every module of a UNet by its name in diffusers:
// "down_blocks.1.attentions.0.proj_in" -> "input_blocks.4.1.proj_in". Modules without a counterpart
// are left out.
std::map<std::string, std::string> ldm_modules_of(const std::vector<std::string>& unet_modules);

}  // namespace pangu::io
