// What of a network's structure tells its family, taken from either naming (LDM or diffusers), and
// what follows from it and from the text encoders beside it. Not a public contract of the room
// (io/families/families.h is).
#pragma once
#include <optional>
#include <string>

#include "io/families/families.h"

namespace pangu::io {

// How many size numbers SDXL's kind of networks have beside the pooled text.
inline constexpr int kSdxlNumbers = 6, kRefinerNumbers = 5, kPanguNumbers = 1;

// Of one UNet or ControlNet under a prefix, in either naming.
struct NetworkSigns {
  bool ldm = false;
  int64_t in_channels = 0, out_channels = 0, context_dim = 0, addition_dim = 0;
  int levels = 0;
  bool linear_projection = false, first_level_attends = false, middle_attends = false;
  bool control_union = false;     // a ControlNet for several kinds of pictures
  bool class_table = false;       // x4 upscaler: a table of noise levels
  bool class_projection = false;  // unCLIP: a noised image embedding
};

// Nothing if no UNet or ControlNet has its names behind `prefix`.
std::optional<NetworkSigns> signs_of(const TensorViews& tensors, const std::string& prefix);

// What the family's name gets behind it: "inpainting (9 input channels)"; mostly empty.
struct Variant {
  std::string name;
  bool supported = true;
};
Variant variant_of(const Recognised& found, const NetworkSigns& signs);
// Gives what was found its name, and says so if it is not supported.
void name_variant(Recognised& found, const std::string& what, const Variant& variant);

struct Surroundings {
  TextTower text_encoder = TextTower::kNone, text_encoder_2 = TextTower::kNone;
  bool image_encoder = false;
  int64_t pooled = 0;
};

// The family of a denoiser or ControlNet with what stands beside it, and what it was decided by.
void decide_family(Recognised& found, const NetworkSigns& signs, const Surroundings& beside);

TextTower tower_at(const TensorViews& tensors, const std::string& prefix);
bool has_vae(const TensorViews& tensors, const std::string& prefix);
int64_t latent_channels_of(const TensorViews& tensors, const std::string& prefix);
// Width of the pooled embedding that a text encoder gives; 0 if it has no projection.
int64_t pooled_dim_of(const TensorViews& tensors, const std::string& prefix);

// One size of a tensor's shape; 0 if there is no such tensor or axis.
int64_t side(const TensorViews& tensors, const std::string& name, size_t axis);

}  // namespace pangu::io
