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

// What a network is told beside the noisy latent, one row a prompt.
struct Conditions {
  at::Tensor context;       // [R,L,D] f32, token states
  at::Tensor context_mask;  // [R,L] bool, true where a token counts
};

// One of the time-decoupled generators, or the only one.
struct Expert {
  std::string name;  // "structure", "texture"; "denoiser" if it is alone
  // Reads the weights; predict does it by itself if need be. It is apart so that its time can be
  // told apart.
  std::function<void()> load;
  // x_net: [N,C,h,w] f32 in the network's scale, conditions of N rows. Returns the raw prediction
  // [N,C,h,w], any floating type.
  std::function<at::Tensor(const at::Tensor& x_net, double t_index, const Conditions& conditions)>
      predict;
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
  diffusion::Schedule schedule;
  diffusion::SigmaOptions sigma_options;
  diffusion::Parameterisation parameterisation = diffusion::Parameterisation::kEps;
  std::vector<Expert> experts;     // from most noise to least
  std::vector<double> boundaries;  // sigmas, experts - 1 of them
  std::string device = "cpu", dtype = "f32";
  // Latent pixels (rows x images x h x w) that one forward may hold; 0: one image a forward.
  int64_t latent_pixels_a_forward = 0;

  std::function<void()> load_text, load_decoder;
  // Prompts as they are written -> conditions of as many rows.
  std::function<Conditions(const std::vector<std::string>& prompts)> encode;
  // latents: [B,C,h,w] f32 as the denoiser sees them -> [B,3,H,W] f32, about [-1,1].
  std::function<at::Tensor(const at::Tensor& latents)> decode;
};

struct LoadOptions {
  std::string device = "cpu";        // "cpu", "cuda" or "cuda:1"
  std::optional<std::string> dtype;  // "f32" or "bf16"; empty: fastest_dtype(device)
};

// Reads a model folder in diffusers' layout: configurations now, weights when they are needed.
// Error kBadInput names the file or key that is missing or wrong, kUnavailable a device that this
// machine lacks.
Model load_model(const std::string& folder, const LoadOptions& options = {});

// "bf16" on CUDA and on processors that multiply bf16 (AVX512-BF16), else "f32".
std::string fastest_dtype(const std::string& device);

// The prompt of style guidance's row: a name out of model.styles in the prompt's own language, or
// literal words.
std::string styled_prompt(const Model& model, const std::string& style, const std::string& prompt);

}  // namespace pangu::pipeline
