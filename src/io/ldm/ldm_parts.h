// The rules of ldm_names.h and of single_file.h, one function for each kind of network and
// direction. This is no public contract of the room.
#pragma once
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/families/families.h"
#include "io/ldm/single_file.h"
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

struct Section;

// Takes the tensors of one component under the names that they have below their section's prefix.
struct Restored {
  const Section& section;
  std::vector<SingleFileTensor>& tensors;
  std::vector<std::string>& nameless;  // tensors that no rule knows

  // given: the tensor's name in the component.
  void put(std::string name, const std::string& given, const NamedTensor& tensor);
  void put(std::string name, const std::string& given, const NamedTensor& tensor,
           std::vector<int64_t> shape, bool is_transposed);
};

// Gives every tensor of a component its name in a single file: the inverse of a RenameRule.
using RestoreRule = void (*)(const NamedTensors&, Restored&);

void restore_ldm_unet(const NamedTensors& given, Restored& out);
void restore_ldm_vae(const NamedTensors& given, Restored& out);
void restore_clip_text(const NamedTensors& given, Restored& out);
void restore_openclip(const NamedTensors& given, Restored& out);

// The rule for the tensors under a prefix, and the component that they become. restore: the way
// back, of sections that are written.
struct Section {
  std::string_view prefix, component;
  RenameRule rule;
  RestoreRule restore = nullptr;
};
// Those of whole checkpoints; the first whose prefix fits counts.
std::span<const Section> checkpoint_sections();

// Views a 1x1 convolution's [O,I,1,1] as [O,I]; [O,I] stays. Throws kBadInput for anything else.
TensorView as_linear(const SourceTensor& source);

}  // namespace pangu::io
