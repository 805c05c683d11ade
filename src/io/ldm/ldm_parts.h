// The rules of ldm_names.h, one function for each kind of network. This is no public contract of
// the room.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "io/families/families.h"
#include "io/weights_file.h"

namespace pangu::io {

struct SourceTensor {
  const std::string* name;  // the whole name, as in the file
  const TensorView* view;
};
// Tensors by their names without the section's prefix.
using SourceTensors = std::map<std::string, SourceTensor>;

// Takes the tensors that a rule has renamed. If a name is taken already, its source is listed as
// unexpected.
struct Renamed {
  NamedTensors& tensors;
  std::vector<std::string>& unexpected;
  const Recognised& what;

  void put(const SourceTensor& source, std::string name);
  void put(const SourceTensor& source, std::string name, TensorView view, bool transpose);
  void leave(const SourceTensor& source);  // lists a tensor that no rule knows as unexpected
};

// Renames every tensor of a section. Throws kBadInput for a shape that contradicts a name.
using RenameRule = void (*)(const SourceTensors&, Renamed&);

void keep_names(const SourceTensors& source, Renamed& out);
void rename_ldm_unet(const SourceTensors& source, Renamed& out);
void rename_ldm_controlnet(const SourceTensors& source, Renamed& out);
void rename_ldm_vae(const SourceTensors& source, Renamed& out);
// This rule also knows names of diffusers before 0.15: query, key, value, proj_attn.
void rename_diffusers_vae(const SourceTensors& source, Renamed& out);
void rename_taesd(const SourceTensors& source, Renamed& out);
void rename_clip_text(const SourceTensors& source, Renamed& out);
void rename_clip_image(const SourceTensors& source, Renamed& out);
void rename_clip_vision(const SourceTensors& source, Renamed& out);  // below "vision_model."
void rename_openclip(const SourceTensors& source, Renamed& out);
void rename_openclip_image(const SourceTensors& source, Renamed& out);

// Views a 1x1 convolution's [O,I,1,1] as [O,I]; [O,I] stays. Throws kBadInput for anything else.
TensorView as_linear(const SourceTensor& source);

}  // namespace pangu::io
