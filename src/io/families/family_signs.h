// The features of a network's structure that tell its family, read from names of LDM or of
// diffusers, and the decision by them and by the model's text encoders. This is no public contract
// of the room (io/families/families.h is).
#pragma once
#include <optional>
#include <string>

#include "io/families/families.h"

namespace pangu::io {

// The number of size numbers that networks of SDXL's kind take together with the pooled text.
inline constexpr int kSdxlNumbers = 6, kRefinerNumbers = 5, kPanguNumbers = 1;

// The features of one UNet or ControlNet. The fields are named as those of Recognised; 0 or false
// where the network has no such tensor.
struct NetworkSigns {
  bool ldm = false;
  int64_t in_channels = 0, out_channels = 0, context_dim = 0, addition_dim = 0;
  int levels = 0;
  bool linear_projection = false, first_level_attends = false, middle_attends = false;
  bool control_union = false;     // is a ControlNet for several kinds of pictures
  bool class_table = false;       // has a table of noise levels: the x4 upscaler
  bool class_projection = false;  // takes a noised image embedding: unCLIP
};

// Returns the features of the UNet or ControlNet whose names begin with `prefix`, or nothing if
// there is none.
std::optional<NetworkSigns> signs_of(const TensorViews& tensors, const std::string& prefix);

// The words for a variant of a family, "inpainting (9 input channels)", and whether it can be drawn
// with; the words are empty for the usual network.
struct Variant {
  std::string name;
  bool supported = true;
};
Variant variant_of(const Recognised& found, const NetworkSigns& signs);
// Sets the name of `found`, `what` and the variant's words, and `unsupported` if it is not
// supported.
void name_variant(Recognised& found, const std::string& what, const Variant& variant);

// The other components of a model. pooled: width of the pooled text embedding, 0 if it is unknown.
struct Surroundings {
  TextTower text_encoder = TextTower::kNone, text_encoder_2 = TextTower::kNone;
  bool image_encoder = false;
  int64_t pooled = 0;
};

// Decides the family of a denoiser or ControlNet and writes it to `found`, with the features that
// it was decided by (in_channels to linear_projection of Recognised). `surroundings` is the rest of
// the model. found.family stays as it is if no row of the table fits.
void decide_family(Recognised& found, const NetworkSigns& signs, const Surroundings& surroundings);

// What stands at `prefix`: the kind of text encoder (kNone if there is none), whether there is an
// autoencoder, and its number of latent channels (0 if there is none).
TextTower tower_at(const TensorViews& tensors, const std::string& prefix);
bool has_vae(const TensorViews& tensors, const std::string& prefix);
int64_t latent_channels_of(const TensorViews& tensors, const std::string& prefix);
// The width of the pooled embedding that the text encoder at `prefix` gives; 0 if it has no
// projection.
int64_t pooled_dim_of(const TensorViews& tensors, const std::string& prefix);

// One size of a tensor's shape; 0 if there is no such tensor or axis.
int64_t side(const TensorViews& tensors, const std::string& name, size_t axis);

}  // namespace pangu::io
