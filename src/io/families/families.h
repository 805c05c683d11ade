// Which model a set of tensors belongs to, from names and shapes alone: never the file's name, and
// never an exact width, so that narrower and deeper variants are recognised too. Reads no weights.
// Names: CompVis/Stability LDM single files, diffusers components, kohya/PEFT LoRA, A1111
// embeddings.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace pangu::io {

enum class Family {
  kUnknown,
  kStableDiffusion1,  // convolutional proj_in, one CLIP text encoder
  kStableDiffusion2,  // linear proj_in, one OpenCLIP text encoder
  kSdxl,              // two text encoders, six size numbers
  kSdxlRefiner,       // one OpenCLIP text encoder, five size numbers, four levels
  kSsd1b,             // SDXL without attention in the middle
  kPanguDraw3,        // SDXL's network with one size index
  kImageVariations,   // Stable Diffusion 1's network with a CLIP image embedding as context
};
const char* name_of(Family family);  // "Stable Diffusion 1.x", "SDXL base", ...

enum class Layout { kUnknown, kLdm, kDiffusers, kKohya, kPeft, kA1111 };
const char* name_of(Layout layout);

enum class Part {
  kUnknown,
  kCheckpoint,  // a UNet with at least a VAE or a text encoder beside it
  kUnet,
  kVae,
  kTinyVae,  // TAESD or TAESDXL: the two have the same tensors
  kTextEncoder,
  kImageEncoder,
  kControlNet,
  kLora,
  kTextualInversion,
};
const char* name_of(Part part);

// How the tensors of a text encoder are named and fused.
enum class TextTower { kNone, kClip, kOpenClip, kBert };

struct Recognised {
  Family family =
      Family::kUnknown;  // of a LoRA, ControlNet or embedding: the family it is made for
  Layout layout = Layout::kUnknown;
  Part part = Part::kUnknown;

  // Of the UNet or ControlNet; 0 where it has none or it is not known.
  int64_t in_channels = 0;          // 4; 9 for inpainting; 8 for InstructPix2Pix
  bool inpaint = false;             // in_channels is 2 * latent channels + 1
  int levels = 0;                   // resolutions
  int64_t context_dim = 0;          // width of the cross-attention context
  int64_t addition_dim = 0;         // width of label_emb / add_embedding's input
  int64_t pooled_dim = 0;           // ... of which the pooled text embedding
  int addition_numbers = 0;         // ... and sinusoids: SDXL 6, refiner 5, PanGu-Draw 3 1
  int64_t addition_number_dim = 0;  // width of each of them, 256 in every released model
  bool linear_projection = false;   // proj_in is [O,I] instead of [O,I,1,1]

  TextTower text_encoder = TextTower::kNone, text_encoder_2 = TextTower::kNone;
  int64_t latent_channels = 0;  // of the VAE

  // A ControlNet whose weights are what is to be added to the denoiser's (a tensor "difference").
  bool is_difference = false;
  // Of what is known and cannot be drawn with, its name ("ControlNet union", ...); else empty.
  std::string unsupported;

  std::vector<std::string> components;  // what is in it: "unet", "vae", "text_encoder", ...
  std::string human_name;  // "Stable Diffusion 2.x, inpainting (9 input channels)"; never empty
};

// Of one file. Never throws for tensors it does not know: they are kUnknown, and human_name says
// what was found.
Recognised recognise(const TensorViews& tensors, const Metadata& metadata = {});

// Of a diffusers folder: the tensors of each component under its folder's name.
Recognised recognise_components(const std::map<std::string, TensorViews>& components);

// By the released widths of the cross-attention context, and of a text encoder: what an adapter
// without a base can be told by.
Family family_of_context(int64_t width);
Family family_of_text_width(int64_t width);
// What an adapter with changes of a second text encoder is for, if nothing else tells.
Family family_of_second_text_encoder();

// What the training predicted, as far as it can be told without the configuration.
enum class Prediction { kUnknown, kEps, kV };
const char* name_of(Prediction prediction);
struct Training {
  Prediction prediction = Prediction::kUnknown;
  bool zero_terminal_snr = false;
  bool is_said = false;  // by a marker, metadata or a configuration; else it is a guess
  // What a configuration beside the file says of its noise and latents (io/ldm/ldm_config.h).
  std::optional<double> beta_start, beta_end, latent_scale;
  std::optional<int64_t> train_timesteps;
  // A marker tensor of a training that eps and v are not enough for ("edm_mean: ..."); else empty.
  std::string unsupported;
  std::string because;  // the sign it was told by: for messages
};
// Looks at metadata (modelspec.predict_key), marker tensors (v_pred, ztsnr) and, for Stable
// Diffusion 2.x, at the spread of one norm bias near the output, which the 768 px v-prediction
// models have wide. Reads some thousand bytes of weights. Everything else of these families
// predicts eps.
Training training_of(const TensorViews& tensors, const Metadata& metadata, const Recognised& what);

class WeightsFile;
// The same of a file at `path`, and what the LDM configuration beside it says: that of "x.yaml" for
// "x.safetensors", as A1111's web UI looks for it. Error kBadInput if it says what cannot be drawn.
Training training_of_file(const WeightsFile& file, const std::string& path, const Recognised& what);

}  // namespace pangu::io
