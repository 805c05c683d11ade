// Recognises which model a set of tensors belongs to, from names and shapes alone. The file's name
// and exact widths do not count, so that narrower and deeper variants are recognised too. Weights
// are not read. Names: CompVis/Stability LDM single files, diffusers components, kohya/PEFT LoRA,
// A1111 embeddings.
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
  kCheckpoint,  // a UNet with at least a VAE or a text encoder
  kUnet,
  kVae,
  kTinyVae,  // TAESD or TAESDXL: the two have the same tensors
  kTextEncoder,
  kImageEncoder,
  kControlNet,
  kLora,
  kTextualInversion,
  kUpscaler,  // an ESRGAN (RRDBNet) in any spelling of its names
};
const char* name_of(Part part);

// How the tensors of a text encoder are named and fused.
enum class TextTower { kNone, kClip, kOpenClip, kBert };

struct Recognised {
  // For a LoRA, ControlNet or embedding: the family that it is made for.
  Family family = Family::kUnknown;
  Layout layout = Layout::kUnknown;
  Part part = Part::kUnknown;

  // Fields of the UNet or ControlNet; 0 where there is none or where it is not known.
  int64_t in_channels = 0;   // 4; 9 for inpainting; 8 for InstructPix2Pix
  bool inpaint = false;      // in_channels is 2 * latent channels + 1
  int levels = 0;            // resolutions
  int64_t context_dim = 0;   // width of the cross-attention context
  int64_t addition_dim = 0;  // width of label_emb / add_embedding's input
  int64_t pooled_dim = 0;    // the part of addition_dim that is the pooled text embedding
  int addition_numbers = 0;  // number of sinusoids in the rest: SDXL 6, refiner 5, PanGu-Draw 3 1
  int64_t addition_number_dim = 0;  // width of each sinusoid, 256 in every released model
  bool linear_projection = false;   // proj_in is [O,I] instead of [O,I,1,1]

  TextTower text_encoder = TextTower::kNone, text_encoder_2 = TextTower::kNone;
  int64_t latent_channels = 0;  // of the VAE

  // A ControlNet whose weights are to be added to the denoiser's (a tensor "difference" says so).
  bool is_difference = false;
  // The name of what is known but cannot be drawn with ("ControlNet union", ...); else empty.
  std::string unsupported;

  std::vector<std::string> components;  // the components found: "unet", "vae", "text_encoder", ...
  std::string human_name;  // "Stable Diffusion 2.x, inpainting (9 input channels)"; never empty
};

// Recognises one file. Unknown tensors are no error: the family is then kUnknown, and human_name
// says what was found.
Recognised recognise(const TensorViews& tensors, const Metadata& metadata = {});

// Recognises a diffusers folder, given the tensors of each component under its folder's name.
Recognised recognise_components(const std::map<std::string, TensorViews>& components);

// The family with this released width of the cross-attention context, or of a text encoder; an
// adapter that does not name its base model is recognised so.
Family family_of_context(int64_t width);
Family family_of_text_width(int64_t width);
// What an adapter with changes of a second text encoder is for, if nothing else tells.
Family family_of_second_text_encoder();

// What the network was trained to predict, as far as it can be told without the configuration.
enum class Prediction { kUnknown, kEps, kV };
const char* name_of(Prediction prediction);
struct Training {
  Prediction prediction = Prediction::kUnknown;
  bool zero_terminal_snr = false;
  bool is_said = false;  // by a marker, metadata or a configuration; else it is a guess
  // What a configuration next to the file says of noise and latents (io/ldm/ldm_config.h).
  std::optional<double> beta_start, beta_end, latent_scale;
  std::optional<int64_t> train_timesteps;
  // A marker tensor of a training that is neither of eps nor of v ("edm_mean: ..."); else empty.
  std::string unsupported;
  std::string because;  // the sign that decided, for messages
};
// Decides by metadata (modelspec.predict_key), marker tensors (v_pred, ztsnr) and, for Stable
// Diffusion 2.x, by the spread of one norm bias near the output, which is wide in the 768 px
// v-prediction models. It reads some thousand bytes of weights. All other models of these families
// predict eps.
Training training_of(const TensorViews& tensors, const Metadata& metadata, const Recognised& what);

class WeightsFile;
// The same of a file at `path`, and what the LDM configuration beside it says: that of "x.yaml" for
// "x.safetensors", as A1111's web UI looks for it. Error kBadInput if it says what cannot be drawn.
Training training_of_file(const WeightsFile& file, const std::string& path, const Recognised& what);

}  // namespace pangu::io
