// A model that can draw, as a narrow struct of callables: who reads a prompt, who predicts noise at
// which sigma, who makes pixels of latents. How a family lays out its files is known only to the
// function that fills the struct; whoever has networks in memory can fill it as well.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/parameterisation.h"
#include "diffusion/schedule.h"
#include "diffusion/sigmas.h"
#include "pipeline/request.h"

namespace pangu::pipeline {

// What a network is told beside the noisy latent, one row a prompt. An undefined tensor is "none".
struct Conditions {
  at::Tensor context;       // [R,L,D] f32, token states
  at::Tensor context_mask;  // [R,L] bool, true where a token counts; none: all count
  at::Tensor pooled;        // [R,P] f32, the text as a whole (SDXL)
  at::Tensor time_ids;  // [R,K] f32, sizes and crops (SDXL), an index of the size (PanGu-Draw 3)

  // The rows of these numbers, in this order; a row may come several times.
  Conditions rows(const std::vector<int64_t>& numbers) const;
};

// Several rows of prompts, and what else a text side reads of a request.
struct PromptRows {
  std::vector<std::string> prompts;
  std::vector<bool> negative;  // of every row: it is the unconditional side of guidance
  int width = 0, height = 0;   // pixels
  int clip_skip = 1;           // 1 is the family's own layer, 2 the one before, as web UIs count
  at::Tensor picture;          // [1,3,H,W] f32 in [0,1], for those that read a picture instead
};

// Who reads prompts. Networks that read the same conditions share one.
struct TextSide {
  std::function<void()> load;
  std::function<Conditions(const PromptRows& rows)> encode;
};

// Added to the states of a denoiser: what a ControlNet gives.
struct Residuals {
  std::vector<at::Tensor> down;  // one for every skip state, in depth order
  at::Tensor mid;
  Residuals& add(const Residuals& other, double weight);  // an empty one takes the other's shapes
};

// All that one forward is told; tensors have the rows of x_net.
struct NetInputs {
  Conditions conditions;
  at::Tensor extra_channels;  // [N,E,h,w] f32 behind x_net's channels (inpainting networks)
  Residuals residuals;
};

// One of the time-decoupled generators, or the only one.
struct Expert {
  std::string name;  // "structure", "texture"; "denoiser" if it is alone
  // Reads the weights; predict does it by itself if need be. It is apart so that its time can be
  // told apart.
  std::function<void()> load;
  // x_net: [N,C,h,w] f32 in the network's scale. Returns the raw prediction [N,C,h,w], any floating
  // type.
  std::function<at::Tensor(const at::Tensor& x_net, double t_index, const NetInputs& inputs)>
      predict;
  size_t text_side = 0;  // whose conditions it reads
};

// A ControlNet that was loaded with the model.
struct Control {
  std::string name;
  std::function<void()> load;
  // hint: [1,3,H,W] f32 in [0,1], of the picture's size.
  std::function<Residuals(const at::Tensor& x_net, double t_index, const Conditions& conditions,
                          const at::Tensor& hint)>
      predict;
};

// What an encoder says of a picture, as the denoiser sees latents: normal with these moments.
struct Posterior {
  at::Tensor mean, std;  // [B,C,h,w] f32
};

// Every callable may be used from several threads at once, and loads its weights when first called
// (or at load*). A model on the CPU keeps its files mapped until it is gone.
struct Model {
  std::string name;         // of the folder
  std::string fingerprint;  // tells weights apart; 16 hexadecimal digits, or empty
  RequestRules rules;
  // Name of a style -> language ("en", "zh") -> words; "{prompt}" in them stands for the prompt,
  // words without it go before the prompt.
  std::map<std::string, std::map<std::string, std::string>> styles;
  int latent_channels = 0;
  int downscale = 0;  // pixels a latent pixel, each way
  // LatentSpace::text: models of equal text here have one latent space.
  std::string space;
  diffusion::Schedule schedule;
  diffusion::SigmaOptions sigma_options;
  diffusion::Parameterisation parameterisation = diffusion::Parameterisation::kEps;
  std::vector<Expert> experts;     // from most noise to least
  std::vector<double> boundaries;  // sigmas, experts - 1 of them
  bool lag_switch = false;         // diffusion::make_plan
  bool reads_picture = false;      // an image-variation model: the prompt is a picture
  int extra_channels = 0;          // of the experts' input: 5 for inpainting networks, else 0
  // Of the experts' input: a control picture's (nn::control_channels), which takes the one control
  // of a request; 0 for networks without.
  int control_channels = 0;
  bool truncates_pixels = false;  // bytes are cut, not rounded (PanGu-Draw 3)
  std::string device = "cpu", dtype = "f32";
  int64_t weight_bytes = 0;  // of all networks, in `dtype`
  // Estimates, in 10^9 operations (nn/unet/cost.h), for a picture of this size: one row of the
  // noisiest expert with its ControlNets; decoding; encoding. 0 where it is not known.
  std::function<double(int width, int height)> row_gflop, decode_gflop, encode_gflop;
  // Latent pixels (rows x images x h x w) that one forward may hold; 0: one image a forward.
  int64_t latent_pixels_a_forward = 0;

  std::vector<TextSide> text_sides;  // one at least
  std::vector<Control> controls;     // LoadOptions::controls, in their order
  std::function<void()> load_decoder;
  // latents: [B,C,h,w] f32 as the denoiser sees them -> [B,3,H,W] f32, about [-1,1].
  std::function<at::Tensor(const at::Tensor& latents)> decode;
  // pixels: [B,3,H,W] f32 in [-1,1], sides multiples of `downscale`.
  std::function<Posterior(const at::Tensor& pixels)> encode_pixels;
};

// A LoRA file and its weight; that of text encoders may be another.
struct LoraUse {
  std::string path;
  double weight = 1.0;
  std::optional<double> text_weight = {};
};

// "FILE[:WEIGHT]"; a colon may also be part of the file's name.
LoraUse lora_use_from(const std::string& text);

struct LoadOptions {
  std::string device = "cpu";        // "cpu", "cuda" or "cuda:1"
  std::optional<std::string> dtype;  // "f32" or "bf16"; empty: fastest_dtype(device)
  std::vector<LoraUse> loras;
  std::vector<std::string> controlnets;  // files or folders
  std::vector<std::string> embeddings;   // textual inversions; the file's name is the word
  std::string vae;                       // another autoencoder, a tiny one (TAESD) too
  std::string refiner;                   // SDXL's second expert ...
  double refiner_start = 0.8;            // ... from this share of the noise schedule on
  size_t experts_in_memory = 0;          // at most so many at once; 0: all
  int vae_tile = 0;                      // pixels a side that are decoded at once; 0: by size
  std::string tokenizers;                // folder with the vocabularies that single files lack
};

// Reads a model: configurations now, weights when they are needed. `path` is a folder in diffusers'
// layout or a single file of one of the families that io/families/families.h recognises.
// Error kBadInput names the file or key that is missing or wrong, kUnavailable a device that this
// machine lacks.
Model load_model(const std::string& path, const LoadOptions& options = {});

// "bf16" on CUDA and on processors that multiply bf16 (AVX512-BF16), else "f32".
std::string fastest_dtype(const std::string& device);

// The prompt of style guidance's row: a name out of model.styles in the prompt's own language, or
// literal words.
std::string styled_prompt(const Model& model, const std::string& style, const std::string& prompt);

}  // namespace pangu::pipeline
