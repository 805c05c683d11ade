// A model that can draw, as a few small structs of callables: who denoises, what turns latents into
// pixels, what it allows, in what it differs. How a family lays out its files is known only to
// families/; whoever has networks in memory can fill the structs as well.
#pragma once
#include <ATen/core/Tensor.h>

#include <any>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/watch.h"
#include "diffusion/conditions.h"
#include "diffusion/parameterisation.h"
#include "diffusion/schedule.h"
#include "diffusion/sigmas.h"
#include "nn/unet/deep_features.h"
#include "pipeline/latent_space.h"
#include "pipeline/load_options.h"
#include "pipeline/request.h"

namespace pangu::pipeline {

using diffusion::Conditions;

// Several rows of prompts, and what else a text side reads of a request.
struct PromptRows {
  std::vector<std::string> prompts;
  std::vector<bool> negative;  // of every row: it is the unconditional side of guidance
  int width = 0, height = 0;   // pixels
  int clip_skip = 1;           // Request::clip_skip
  at::Tensor picture;          // [1,3,H,W] f32 in [0,1], for those that read a picture instead
};

// Who reads prompts. Networks that read the same conditions share one.
struct TextSide {
  std::function<void(const Watch&)> load;
  std::function<Conditions(const PromptRows& rows, const Watch&)> encode;
  // Prompts have A1111's syntax (text/prompt.h, text/prompt_schedule.h); else every word is taken
  // as it is written.
  bool reads_syntax = false;
  // Warns of what of the prompts of one drawing is not read: words behind the encoder's end,
  // syntax, embeddings that there are not. Empty: it reads all.
  std::function<void(const std::vector<std::string>& prompts, const Watch&)> review = {};
  // Lets go of the weights, which are read again if they are needed. Nobody else may be reading
  // prompts. Empty: they stay.
  std::function<void()> release = {};
};

// Added to the states of a denoiser: what a ControlNet gives.
struct Residuals {
  std::vector<at::Tensor> down;  // one for every skip state, in depth order
  at::Tensor mid;                // undefined for the states of the shallow part alone
  Residuals& add(const Residuals& other, double weight);  // an empty one takes the other's shapes
};

// All that one forward is told; tensors have the rows of x_net.
struct NetInputs {
  Conditions conditions;
  std::any prepared;  // what Expert::prepare made of them, or nothing
  Residuals residuals;
  // Of a network that may use deep features again (RequestRules::most_reuse_depth): what it is to
  // use or to store. Null: the network is computed as one whole.
  nn::DeepFeatures* deep = nullptr;
};

// One of the time-decoupled generators, or the only one.
struct Expert {
  std::string name;  // "structure", "texture"; "denoiser" if it is alone
  // Reads the weights; predict does it by itself if need be. It is apart so that its time can be
  // told apart.
  std::function<void(const Watch&)> load;
  // x_net: [N,C,h,w] f32 in the network's scale. Returns the raw prediction [N,C,h,w], any floating
  // type.
  std::function<at::Tensor(const at::Tensor& x_net, double t_index, const NetInputs& inputs,
                           const Watch&)>
      predict;
  size_t text_side = 0;  // whose conditions it reads
  // A distilled network that is told the guidance scale (Conditions::guidance) and guides by
  // itself: one row, that of the prompt (LCM).
  bool reads_guidance = false;
  // Keeps the weights in memory for as long as the result lives, where not all experts of the model
  // may be there at once; empty where they may. A drawing holds the expert of its stage, and lets
  // it go before it asks for another. If others have to let go first, it waits, or, unless `waits`,
  // gives null.
  std::function<std::shared_ptr<const void>(bool waits, const Watch&)> hold = {};
  // What depends on the conditions alone, to be made once for a picture and not once for every
  // step. The result is of the expert's own type and holds no network. An expert without it
  // prepares nothing.
  std::function<std::any(const Conditions& conditions, const Watch&)> prepare = {};
};

// A ControlNet that was loaded with the model.
struct Control {
  std::string name;
  std::function<void(const Watch&)> load;
  // hint: [1,3,H,W] f32 in [0,1], of the picture's size. shallow_states: of how many skip states
  // the residuals are wanted; 0: of all, and of the middle block.
  std::function<Residuals(const at::Tensor& x_net, double t_index, const Conditions& conditions,
                          const at::Tensor& hint, int64_t shallow_states, const Watch&)>
      predict;
};

// What an encoder says of a picture, as the denoiser sees latents: normal with these moments.
struct Posterior {
  at::Tensor mean, std;  // [B,C,h,w] f32
};

// Who denoises, and in what terms.
struct Denoising {
  diffusion::Schedule schedule;
  diffusion::SigmaOptions sigma_options;
  diffusion::Parameterisation parameterisation = diffusion::Parameterisation::kEps;
  std::vector<TextSide> text_sides;  // one at least
  std::vector<Expert> experts;       // from most noise to least
  std::vector<double> boundaries;    // sigmas, experts - 1 of them
  // Lets go of the weights of experts that nobody holds; they are read again if they are needed.
  // Empty: they stay.
  std::function<void()> release = {};
  std::vector<Control> controls;  // LoadOptions::controlnets, in their order
  // Of the experts' input behind the latent's channels: those of a mask and a masked picture, 5 for
  // inpainting networks, else 0 ...
  int extra_channels = 0;
  // ... or those of a control picture (nn::control_channels), which takes the one control of a
  // request; 0 for networks without.
  int control_channels = 0;
  // Latent pixels (rows x images x h x w) that one forward may hold; 0: one image a forward.
  int64_t latent_pixels_a_forward = 0;
};

// Between latents, as the denoiser sees them, and pixels.
struct LatentCodec {
  LatentSpace space;
  int channels = 0;
  int downscale = 0;  // pixels a latent pixel, each way
  std::function<void(const Watch&)> load;
  // latents: [B,C,h,w] f32 -> [B,3,H,W] f32, about [-1,1].
  std::function<at::Tensor(const at::Tensor& latents, const Watch&)> decode;
  // pixels: [B,3,H,W] f32 in [-1,1], sides multiples of `downscale`. Empty: a decoder alone.
  std::function<Posterior(const at::Tensor& pixels, const Watch&)> encode;
};

// Enlarges pictures, as an ESRGAN does.
struct Upscaler {
  std::string name;
  int factor = 1;
  // pixels: [B,3,H,W] f32 in [0,1] -> [B,3,H*factor,W*factor], about [0,1].
  std::function<at::Tensor(const at::Tensor& pixels, const Watch&)> enlarge;
};

// In what a released model differs from all others.
struct Quirks {
  bool lag_switch = false;        // diffusion::make_plan
  bool truncates_pixels = false;  // bytes are cut, not rounded (PanGu-Draw 3)
  bool reads_picture = false;     // an image-variation model: the prompt is a picture
};

// Where the networks are, and what they cost.
struct Cost {
  std::string device = "cpu", dtype = "f32";
  std::string vae_dtype = "f32";    // of the autoencoder
  std::string precision = "exact";  // LoadOptions::precision
  int64_t weight_bytes = 0;         // of all networks, in these types
  // Estimates, in 10^9 operations (nn/unet/cost.h), for a picture of this size: one row of the
  // noisiest expert with its ControlNets; decoding; encoding. 0 where it is not known.
  std::function<double(int width, int height)> row_gflop, decode_gflop, encode_gflop;
  // Likewise of a row that uses deep features of this nn::DeepFeatures::depth again.
  std::function<double(int width, int height, int depth)> shallow_row_gflop;
};

// Every callable may be used from several threads at once, loads its weights when first called (or
// at load), and throws Stopped within a second or two of its watch's wish. A
// model on the CPU keeps its files mapped until it is gone.
struct Model {
  std::string name;         // of the folder
  std::string fingerprint;  // tells weights apart; 16 hexadecimal digits, or empty
  RequestRules rules;
  // Name of a style -> language ("en", "zh") -> words; "{prompt}" in them stands for the prompt,
  // words without it go before the prompt.
  std::map<std::string, std::map<std::string, std::string>> styles;
  Denoising denoising;
  LatentCodec latents;
  std::optional<Upscaler> upscaler;  // of Request::upscale and hires_scale; none: Lanczos
  Quirks quirks;
  Cost cost;
};

// Error kBadInput if the model draws from a control picture by itself and has ControlNets too: a
// request has one list of control pictures, which only one of the two can read.
void check_controls(const Model& model);

// Reads a model: configurations now, weights when they are needed. `path` is a folder in diffusers'
// layout or a single file of one of the families that io/families/families.h recognises.
// Error kBadInput names the file or key that is missing or wrong, kUnavailable a device that this
// machine lacks. The watch is told what the files hold that is passed over.
Model load_model(const std::string& path, const LoadOptions& options = {}, const Watch& watch = {});

// The prompt of style guidance's row: a name out of model.styles in the prompt's own language, or
// literal words.
std::string styled_prompt(const Model& model, const std::string& style, const std::string& prompt);

}  // namespace pangu::pipeline
